"""Counts in prompts: numbers written by other means are read back, and what has none is refused."""

import pytest

from ntrk.rewards.numbers import read_count

UNITS = "one two three four five six seven eight nine"
TEENS = "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"
TENS = "twenty thirty forty fifty sixty seventy eighty ninety"


def spelled():
    """Numbers up to 999 as one writes them, by counting up."""
    units = UNITS.split()
    below = ["", *units, *TEENS.split()]
    for tens in TENS.split():
        below += [tens, *(f"{tens}-{unit}" for unit in units)]
    yield from enumerate(below)
    for hundreds, word in enumerate(units, 1):
        for n, rest in enumerate(below):
            yield 100 * hundreds + n, f"{word} hundred" + (f" and {rest}" if rest else "")


def test_all_numbers_in_words():
    numbers = dict(spelled())
    assert len(numbers) == 1000
    for number, words in list(numbers.items())[1:]:
        for text in (words, words.replace("-", " "), words.replace(" and ", " "), words.title()):
            assert read_count(f"a photo of {text} dogs in a park") == (number, "dogs")


@pytest.mark.parametrize("number", [0, 1, 7, 12, 100, 1200, 34567])
def test_all_numbers_in_digits(number):
    assert read_count(f"{number} dogs") == (number, "dogs")
    assert read_count(f"There are {number:,} dogs.") == (number, "dogs")


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("seven dogs in a park", (7, "dogs")),
        ("Seven Dogs", (7, "Dogs")),
        ("zero dogs", (0, "dogs")),
        ("a dozen eggs", (12, "eggs")),
        ("half-open box with two dozen eggs", (24, "eggs")),
        ("2 dozen eggs", (24, "eggs")),
        ("A hundred balloons over the sea", (100, "balloons")),
        ("a group of five small brown dogs, oil painting", (5, "small brown dogs")),
        ("nine cups of tea on a table", (9, "cups of tea")),
        ("six dogs running along a beach", (6, "dogs")),
        ("six people dancing", (6, "people")),
        ("six shining stars", (6, "shining stars")),
        ("six tiny flying birds", (6, "tiny flying birds")),
        ("four go-karts that race", (4, "go-karts")),
        ("three 3d cubes from the 1950s", (3, "3d cubes")),
        ("eight children's toys", (8, "children's toys")),
        ("a red cube on a blue sphere", (1, "red cube")),
        ("An apple", (1, "apple")),
        ("a black and white photo of a cat in a hat", (1, "cat")),
        ("one cat in a hat", (1, "cat")),
    ],
)
def test_prompts(prompt, expected):
    assert read_count(prompt) == expected


@pytest.mark.parametrize(
    "prompt",
    ["", "dogs in a park", "a photo of dogs in a park", "a few dogs", "a group of dogs in a park"],
)
def test_no_number(prompt):
    with pytest.raises(ValueError, match="prompt must say how many objects to show, got "):
        read_count(prompt)


@pytest.mark.parametrize("prompt", ["three cats and two dogs", "one two three dogs", "2.5 dogs"])
def test_several_numbers(prompt):
    with pytest.raises(ValueError, match=r"must have one number of objects, got '.*' and '"):
        read_count(prompt)


@pytest.mark.parametrize(
    "prompt", ["seven", "twenty-one, or so", "we saw seven.", "seven in a park", "a dozen"]
)
def test_no_name(prompt):
    with pytest.raises(ValueError, match="prompt must name what to count after its number"):
        read_count(prompt)
