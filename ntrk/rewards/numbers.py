"""The number of objects that an English prompt asks for, and what they are called."""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = ["read_count"]

_UNITS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen"
)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_WORDS = {word: n for n, word in enumerate(_UNITS.split())}
_WORDS |= {word: 20 + 10 * n for n, word in enumerate(_TENS.split())}
_SCALES = {"dozen": 12, "hundred": 100}

_ARTICLES = {"a", "an"}
_PICTURES = (
    "close-up cartoon drawing illustration image painting photo photograph picture portrait "
    "render rendering shot sketch view"
)
_VAGUE = "bunch couple crowd few flock group handful herd lot number pair pile row"
# Prepositions, conjunctions and pronouns, and the verbs that captions have most.
_ENDS = (
    "about above across against along among and are around arranged as at before behind below "
    "beneath beside between but by during each facing for from has have in inside into is it lie "
    "near next on onto or outside over placed resting seated sit stand that the their under upon "
    "was were where which while who with within without"
)
_IRREGULAR = "children feet fish geese men mice people sheep teeth women"

_COMPOUND = re.compile(rf"\b({_TENS.replace(' ', '|')})-(?={_UNITS.replace(' ', '|')})", re.I)
_TOKEN = re.compile(r"\d{1,3}(?:,\d{3})+\b|\w+(?:['&-]\w+)*|[^\w\s]")
_DIGITS = re.compile(r"\d+(?:,\d{3})*")


def read_count(prompt: str) -> tuple[int, str]:
    """Return the number of objects in a prompt, and their name as the prompt has it.

    The number is in digits (``12``, ``1,200``) or words (``seven``, ``twenty-one``, ``a dozen``,
    ``three hundred``), anywhere; without one, an ``a`` or ``an`` that begins the prompt, or follows
    ``a photo of`` and its like, is one object. The name is what comes after: to the next
    punctuation, preposition, conjunction or verb of a short list, or word in -ing after a plural.

    These are lists of words and no grammar. A verb that they lack becomes part of the name ("six
    monks chant"), and a number that counts no objects (a year, "4 pm") is read as if it did.

    Parameters
    ----------
    prompt
        In English.

    Raises
    ------
    ValueError
        If there is no number, more than one, or no name after it.

    Examples
    --------
    >>> read_count("A photo of seven small dogs in a park")
    (7, 'small dogs')
    >>> read_count("two dozen cups of tea, seen from above")
    (24, 'cups of tea')
    >>> read_count("a red cube on a blue sphere")
    (1, 'red cube')
    """
    tokens = _TOKEN.findall(_COMPOUND.sub(r"\1 ", prompt))
    words = [token.lower() for token in tokens]
    found = list(_numerals(words)) or list(_single(words))
    if not found:
        raise ValueError(f"prompt must say how many objects to show, got {prompt!r}")
    if len(found) > 1:
        numbers = " and ".join(repr(" ".join(tokens[start:end])) for _, start, end in found)
        raise ValueError(f"prompt must have one number of objects, got {numbers} in {prompt!r}")
    [(number, _, start)] = found
    end = start
    while end < len(words) and not _is_over(words[start : end + 1]):
        end += 1
    if start == end:
        raise ValueError(f"prompt must name what to count after its number, got {prompt!r}")
    return number, " ".join(tokens[start:end])


def _numerals(words: list[str]) -> Iterator[tuple[int, int, int]]:
    """Yield each number in digits or words, where it starts, and where it ends."""
    at = 0
    while at < len(words):
        number, end = _numeral(words, at)
        if end > at:
            yield number, at, end
        at = max(end, at + 1)


def _numeral(words: list[str], start: int) -> tuple[int, int]:
    """Return the number that starts at a word, and where it ends: where it starts if it is none."""
    number, at = 0, start
    following = dict(enumerate(words))
    if words[at] in _ARTICLES and following.get(at + 1) in _SCALES:
        at += 1
    while at < len(words):
        word = words[at]
        value = int(word.replace(",", "")) if _DIGITS.fullmatch(word) else _WORDS.get(word)
        if word in _SCALES:
            number = max(number, 1) * _SCALES[word]
        elif value is not None and number % (10 if value < 10 else 100) == 0:
            number += value
        elif not (word == "and" and words[at - 1] == "hundred" and following.get(at + 1) in _WORDS):
            break
        at += 1
    return number, at


def _single(words: list[str]) -> Iterator[tuple[int, int, int]]:
    """Yield what `_numerals` does of the article of what is shown, if it is one object."""
    start = 0
    for at, word in enumerate(words[1:], 1):
        if word in {"of", "showing", "with"} and words[at - 1] in _PICTURES.split():
            start = at + 1
            break
    article, *name = words[start : start + 2] or [""]
    if article in _ARTICLES and not set(name) & set(_VAGUE.split()):
        yield 1, start, start + 1


def _is_over(words: list[str]) -> bool:
    """Return whether the last word is not part of the name that the ones before it are."""
    *name, word = words
    plural = bool(name) and (name[-1].endswith("s") or name[-1] in _IRREGULAR.split())
    return not word[0].isalnum() or word in _ENDS.split() or (plural and word.endswith("ing"))
