"""It learns: a transformer memorises sixteen real pictures and restores halves of them."""

from memorising import memorised


def test_a_transformer_memorises_sixteen_emoji(shared, tmp_path):
    loss, right = memorised("transformer", shared, tmp_path)
    assert loss < 0.05
    assert right >= 0.99
