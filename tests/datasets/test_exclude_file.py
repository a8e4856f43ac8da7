"""What is written of an image to leave out is read as the same image."""

import pytest

from mmdclpp.datasets.exclude_file import exclude_lines, excluded_paths


@pytest.mark.parametrize(
    ('path', 'line'),
    [
        ('a b/é #1.jpg', 'a b/é #1.jpg'),
        ('tab\tname.jpg', '"tab\\tname.jpg"'),
        ('two\nlines\u2028.jpg', '"two\\nlines\\u2028.jpg"'),
        ('latin-1 \udce9.jpg', '"latin-1 \\udce9.jpg"'),
        ('"quoted".jpg', '"\\"quoted\\".jpg"'),
        (' spaces .jpg ', ' spaces .jpg '),
    ],
)
def test_names_of_any_kind_come_back_and_usual_ones_are_written_as_they_are(path, line):
    text = exclude_lines([(path, 'cut\noff\there'), ('other.png', 'empty')])
    assert text == f'{line}\tcut off here\nother.png\tempty\n'
    assert excluded_paths(text.split('\n')) == {path, 'other.png'}


def test_a_name_that_only_begins_like_a_json_string_is_taken_as_it_is():
    assert excluded_paths(['"5 inch.jpg', '"5 inch b.jpg\tremark', 'plain.png']) == {
        '"5 inch.jpg',
        '"5 inch b.jpg',
        'plain.png',
    }
