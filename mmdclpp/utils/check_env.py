"""Judge an installation: what is missing, broken or mixed, and how to mend it.

:func:`examine` is pure, :func:`survey` gathers what it judges. Neither needs any of the packages to be there.
"""

import importlib
import importlib.util
import platform
from importlib import metadata
from pathlib import Path
from typing import Dict, List, Mapping, NamedTuple

from mmdclpp.utils.mmpretrain_heal import NEWEST as NEWEST_TRANSFORMERS
from mmdclpp.utils.versions import PYTHON, SUPPORTED

# Every distribution that installs a module of OpenMMLab; those of the maintained set come first.
PROVIDERS = {
    'mmengine': ('onedl-mmengine', 'mmengine', 'mmengine-lite'),
    'mmcv': ('onedl-mmcv', 'mmcv', 'mmcv-lite', 'mmcv-full'),
    'mmpretrain': ('onedl-mmpretrain', 'mmpretrain', 'mmcls'),
    'mmseg': ('onedl-mmsegmentation', 'mmsegmentation'),
    'mmdet': ('onedl-mmdetection', 'mmdet'),
}
MODULES = ('torch', 'torchvision', 'timm', 'mmengine', 'mmcv', 'mmpretrain', 'mmseg', 'cv2', 'numpy', 'matplotlib')
# A wheel brings no requirements files.
IN_CHECKOUT = Path(__file__).resolve().parents[2].joinpath('requirements/install.sh').is_file()
INSTALL = 'bash requirements/install.sh' if IN_CHECKOUT else 'pip install "mmdclpp[mim]"'


class Finding(NamedTuple):
    """One thing to know about the environment.

    Attributes:
        level (str): ``'error'`` (broken or not supported), ``'warning'`` (untested or wasteful) or ``'info'``.
        message (str): What is the case.
        remedy (str): What to do about it; empty for ``'info'``.
    """

    level: str
    message: str
    remedy: str = ''


class Survey(NamedTuple):
    """What an environment consists of.

    Attributes:
        distributions (Mapping[str, str]): Version by normalised name of every installed distribution.
        import_errors (Mapping[str, str]): By module, why it cannot be imported.
        healed (bool): Whether torchvision works only without its compiled operators.
        mmcv_ops (bool): Whether mmcv has its compiled operators.
        device (str): What torch computes on.
        python (str): Version of Python.
    """

    distributions: Mapping[str, str]
    import_errors: Mapping[str, str] = {}
    healed: bool = False
    mmcv_ops: bool = False
    device: str = 'CPU'
    python: str = platform.python_version()


def examine(survey: Survey) -> List[Finding]:
    """Judge an environment.

    Args:
        survey (Survey): What is installed and what can be imported.

    Returns:
        List[Finding]: Errors, then warnings, then information.
    """
    installed = survey.distributions
    findings = [*_mixed(installed), *_unsupported(survey)]
    for module, reason in survey.import_errors.items():
        findings.append(Finding('error', f'module {module} cannot be imported: {reason}', INSTALL))
    if survey.healed:
        findings.append(
            Finding(
                'warning',
                'torchvision has no compiled operators (its build does not fit this torch); mmdclpp works without',
                'install builds of torch and torchvision that belong together if you need torchvision.ops',
            )
        )
    opencv = [name for name in installed if name.startswith('opencv-')]
    if len(opencv) > 1:
        message = f'{" and ".join(opencv)} overwrite each other in the folder cv2'
        keep = f'opencv-python-headless=={SUPPORTED["opencv-python-headless"].tested}'
        remedy = f'pip uninstall -y {" ".join(opencv)} && pip install --no-deps {keep}'
        findings.append(Finding('warning', message, remedy))
    transformers = installed.get('transformers', '')
    if int(transformers.partition('.')[0] or 0) > NEWEST_TRANSFORMERS:
        message = (
            f'mmpretrain cannot be imported beside transformers {transformers} by itself: our tools can, and your own '
            'code after `import mmdclpp.registry`'
        )
        findings.append(Finding('info', message))
    if survey.mmcv_ops:
        findings.append(Finding('info', 'mmcv has compiled operators: mmdet and Mask2Former can run'))
    else:
        findings.append(Finding('info', 'mmcv has no compiled operators; only mmdet and Mask2Former need them'))
    order = ('error', 'warning', 'info')
    return sorted(findings, key=lambda finding: order.index(finding.level))


def _unsupported(survey: Survey) -> List[Finding]:
    """Versions outside the supported ranges, or other than the tested ones."""
    findings = []
    if not PYTHON.accepts(survey.python):
        message = f'Python {survey.python} is not supported: {PYTHON.specifier} is needed'
        findings.append(Finding('error', message, 'make an environment with another Python'))
    for name, supported in SUPPORTED.items():
        version = survey.distributions.get(name)
        if version is None:
            continue
        remedy = f'pip install {name}=={supported.tested}'
        if not supported.accepts(version):
            message = f'{name} {version} is not supported: {supported.specifier} is needed'
            findings.append(Finding('error', message, remedy))
        elif version.split('+')[0] != supported.tested:
            message = (
                f'{name} is {version}: within the supported {supported.specifier}, but tested is {supported.tested}'
            )
            findings.append(Finding('warning', message, remedy))
    return findings


def _mixed(installed: Mapping[str, str]) -> List[Finding]:
    """Distributions that overwrite each other, or that were not made to run together."""
    findings = []
    for module, providers in PROVIDERS.items():
        present = [name for name in providers if name in installed]
        if len(present) > 1:
            findings.append(
                Finding(
                    'error',
                    f'{" and ".join(present)} both install the module {module}',
                    f'pip uninstall -y {" ".join(present)} && {INSTALL}',
                )
            )
    present = [name for providers in PROVIDERS.values() for name in providers if name in installed]
    upstream = [name for name in present if not name.startswith('onedl-')]
    if findings or not upstream:
        return findings
    remedy = f'pip uninstall -y {" ".join(upstream)} && {INSTALL}'
    if len(upstream) < len(present):
        maintained = [name for name in present if name not in upstream]
        message = f'upstream {", ".join(upstream)} beside {", ".join(maintained)}: the two sets do not run together'
        return [Finding('error', message, remedy)]
    message = f'{", ".join(upstream)} are upstream builds, whose releases do not run on the torch of today'
    return [Finding('warning', message, remedy)]


def survey() -> Survey:
    """Look at the environment of this process; imports every module of ``MODULES``."""
    distributions = {
        entry.metadata['Name'].lower().replace('_', '-'): entry.version
        for entry in metadata.distributions()
        if entry.metadata['Name']
    }
    import_errors: Dict[str, str] = {}
    healed = False
    for module in MODULES:
        try:
            if module == 'torchvision':
                from mmdclpp.utils.torchvision_heal import heal_torchvision

                healed = heal_torchvision()
            importlib.import_module(module)
        except Exception as error:  # a broken package may raise anything; all of it is what we look for
            import_errors[module] = ' '.join(f'{error}'.split()) or type(error).__name__
    mmcv_ops = 'mmcv' not in import_errors and importlib.util.find_spec('mmcv._ext') is not None
    device = 'unknown' if 'torch' in import_errors else _device()
    return Survey(distributions, import_errors, healed, mmcv_ops, device)


def _device() -> str:
    import torch

    if not torch.cuda.is_available():
        return f'CPU, {torch.get_num_threads()} threads'
    return f'CUDA {torch.version.cuda}, {torch.cuda.device_count()} x {torch.cuda.get_device_name()}'


def report(survey: Survey, findings: List[Finding]) -> str:
    """Versions and findings as text.

    Args:
        survey (Survey): What is installed.
        findings (List[Finding]): What :func:`examine` says of it.
    """
    mm = (name for providers in PROVIDERS.values() for name in providers)
    names = [*SUPPORTED, *mm, 'opencv-python', 'transformers', 'mmdclpp']
    shown = {name: survey.distributions[name] for name in names if name in survey.distributions}
    rows = {'python': survey.python, **shown, 'device': survey.device}
    lines = [f'{name:<24}{value}' for name, value in rows.items()]
    lines.append('')
    for finding in findings:
        lines.append(f'{finding.level}: {finding.message}')
        if finding.remedy:
            lines.append(f'    remedy: {finding.remedy}')
    return '\n'.join(lines)
