"""Print the versions of what mmdclpp runs on, and what is wrong with them. Exit status 1 if anything is."""

from mmdclpp.utils.check_env import examine, report, survey


def main() -> int:
    found = survey()
    findings = examine(found)
    print(report(found, findings))
    return int(any(finding.level == 'error' for finding in findings))


if __name__ == '__main__':
    raise SystemExit(main())
