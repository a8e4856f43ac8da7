import re

from mmdclpp.utils.progress import ProgressBar


def test_without_a_terminal_a_line_is_printed_at_every_tenth_that_is_passed(capsys):
    with ProgressBar('work', total=40, done=10) as bar:
        for done in (11, 12, 13, 30, 40):
            bar.update(done, note=f'at {done}')
    lines = capsys.readouterr().out.splitlines()
    assert [re.sub(r'\d+:\d\d', 'T', line) for line in lines] == [
        'work   30 %  at 12  T gone, T left',
        'work   75 %  at 30  T gone, T left',
        'work  100 %  at 40  T gone, T left',
    ]


def test_of_several_processes_the_others_show_nothing(capsys):
    with ProgressBar('work', total=2, visible=False) as bar:
        bar.update(2)
    assert bar.done == 2
    assert capsys.readouterr().out == ''
