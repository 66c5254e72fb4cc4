"""The split of the emoji: no picture has a variant on the other side."""

from pixace.zoo.emoji import family, is_held_out


def test_variants_of_one_picture_are_one_family():
    surfers = ["1f3c4", "1f3c4_1f3fb", "1f3c4_1f3ff_200d_2640", "1f3c4_200d_2642_fe0f"]
    assert {family(f"some/folder/emoji_u{codes}.png") for codes in surfers} == {"1f3c4"}
    couple = ["1f468_200d_2764_200d_1f468", "1f468_1f3fb_200d_2764_fe0f_200d_1f468_1f3fe"]
    assert {family(f"emoji_u{codes}.png") for codes in couple} == {"1f468_2764_1f468"}


def test_what_differs_in_more_is_another_family():
    assert family("emoji_u1f600.png") == "1f600" != family("emoji_u1f601.png")
    assert family("emoji_u1f468_200d_1f680.png") != family("emoji_u1f469_200d_1f680.png")


def test_a_tone_or_sign_alone_is_a_family_of_its_own():
    assert [family(f"emoji_u{codes}.png") for codes in ("1f3fb", "1f3fc", "2640")] == ["1f3fb", "1f3fc", "2640"]


def test_whole_families_are_held_out_about_one_in_ten():
    names = [f"emoji_u{code:x}{tone}.png" for code in range(0x1F300, 0x1F600) for tone in ("", "_1f3fb", "_1f3ff")]
    sides = {}
    for name in names:
        sides.setdefault(family(name), set()).add(is_held_out(name))
    assert all(len(side) == 1 for side in sides.values())
    held_out = sum(True in side for side in sides.values())
    assert 0.07 < held_out / len(sides) < 0.13


def test_the_split_never_changes():
    """Figures of models that were trained with it would lose their meaning."""
    faces = [f"emoji_u{code:x}.png" for code in range(0x1F600, 0x1F650)]
    held_out = [family(name) for name in faces if is_held_out(name)]
    assert held_out == ["1f60c", "1f60d", "1f617", "1f61a", "1f61c", "1f623", "1f62d", "1f632", "1f63d", "1f640"]
