"""Expressions: what they compute, and that a stranger's cannot do anything else."""

import math
import random
import time

import pytest

from pixace.errors import ConfigError
from pixace.guide.expressions import parse

TIME = {"t": 0.25, "ti": 0.75, "epoch": 30, "width": 320, "height": 200, "res": [320, 200]}
TIME |= {"ts": lambda a, b: min(max((0.25 - a) / (b - a), 0.0), 1.0)}


def compute(source, variables=TIME, seed=0):
    return parse(source, set(variables))(variables, random.Random(seed))


@pytest.mark.subset
@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("100*3", 300),
        ("1e3", 1000.0),
        ("1/3", 1 / 3),
        ("224//2", 112),
        ("-7 % 5", 3),
        ("2**10", 1024),
        ("2**-1", 0.5),
        ("2**.5", math.sqrt(2)),
        ("10**40", 1e40),
        ("-t", -0.25),
        ("not t", False),
        ("~epoch & 7 | 8 ^ 3 << 1 >> 1", ~30 & 7 | 8 ^ 3 << 1 >> 1),
        ("1. - .95 * pow(t, 5.)", 1 - 0.95 * 0.25**5),
        (".1 if t<.5 else .2", 0.1),
        ("max(0, 40 - epoch)", 10),
        ("0 < t <= .25 < 1", True),
        ("t < .1 < 1/0", False),  # as Python, no further than it must
        ("t and 5", 5),
        ("0 or t", 0.25),
        ("0 and 1/0", 0),
        ("{0: 8, 4: 16, 8: 32}.get(int(t*16), 224)", 16),
        ("{0: 8}.get(int(t*16), 224)", 224),
        ("{'a': 1}.get('b')", None),
        ("[10, 20, 30][1]", 20),
        ("(10, 20, 30)[-1]", 30),
        ("[1, 2, 3, 4][1:3][0]", 2),
        ("{1: 2, 3: 4}[3]", 4),
        ("res[0] / res[1]", 1.6),
        ("width/height", 1.6),
        ("max(res)", 320),
        ("3 in [1, 2, 3]", True),
        ("'a' not in ('b', 'c')", True),
        ("ts(0, .5)", 0.5),
        ("31*ti", 23.25),
        ("1/t", 4.0),
        ("log(t)", math.log(0.25)),
        ("sin(pi*t) + cos(tau) - e", math.sin(math.pi / 4) + 1 - math.e),
        ("factorial(5) + comb(4, 2)", 126),
        ("lerp(10, 20, t)", 12.5),
        ("smoothstep(0, 1, .5)", 0.5),
        ("clip(5, 0, 1)", 1),
        ("sin01(.5)", 1.0),
        ("sorted([3, 1, 2])[0]", 1),
        ("sum([1, 2, 3]) + len([1])", 7),
        ("divmod(7, 2)[1]", 1),
        ("  t\n", 0.25),
    ],
)
def test_an_expression_computes_what_python_would(source, value):
    assert compute(source) == pytest.approx(value)


def test_random_numbers_come_from_the_seed_and_are_told_of():
    for source in (
        "random()",
        "uniform(2, 3)",
        "randint(1, 6)",
        "gauss(0, 1)",
        "choice([1, 2, 3])",
        "betavariate(2, 3)",
    ):
        expression = parse(source)
        assert expression.draws
        drawn = {expression({}, random.Random(seed)) for seed in range(20)}
        assert len(drawn) > 1 and expression({}, random.Random(3)) == expression({}, random.Random(3))
    assert compute("uniform(2, 3)", seed=5) == random.Random(5).uniform(2, 3)
    assert not parse("t", {"t"}).draws


def test_the_variables_of_an_expression_are_known():
    assert parse("t * width + sin(t)", {"t", "width", "height"}).names == {"t", "width"}
    assert parse("random() * 0", {"random"}).names == {"random"}  # a variable goes before a function


def listed(text: str) -> list[str]:
    """The expressions of a text."""
    return [source.strip() for line in text.strip().splitlines() for source in line.split("  ;  ")]


HOSTILE = listed("""
    __import__('os')  ;  __import__('os').system('ls')  ;  eval('1')  ;  exec('1')  ;  open('/etc/passwd')
    compile  ;  globals()  ;  locals()  ;  vars()  ;  dir()  ;  getattr(t, 'x')  ;  setattr(t, 'x', 1)
    delattr(t, 'x')  ;  input()  ;  print(1)  ;  help()  ;  exit()  ;  quit()  ;  breakpoint()  ;  type(t)
    object()  ;  super()  ;  id(t)  ;  hash(t)  ;  memoryview(b'a')  ;  bytes(10)  ;  bytearray(10**9)
    range(10**12)  ;  list(t)  ;  dict()  ;  set()  ;  iter([1])  ;  str(t)  ;  repr(t)  ;  format(t)  ;  chr(65)
    map(sin, [1])  ;  filter(sin, [1])  ;  zip([1])  ;  next([1])  ;  seed(1)  ;  shuffle([1])  ;  getstate()
    setstate(1)  ;  SystemRandom()  ;  Random()  ;  os  ;  sys  ;  math  ;  t.real  ;  (1).__class__
    ().__class__.__bases__[0].__subclasses__()  ;  ''.join(['a'])  ;  '{}'.format(t)  ;  '{0.__class__}'.format(t)
    sin.__self__  ;  random.__self__  ;  random.seed(1)  ;  [].append(1)  ;  {}.keys()  ;  {}.get.__self__
    {}.get  ;  {}.setdefault(1, 2)  ;  {}.pop(1)  ;  t.get(1)  ;  ts.__globals__  ;  [1].get(0)
    (lambda: 1).__code__  ;  {1: 2}.get(1).real  ;  res.w  ;  {}.__class__  ;  lambda: 1  ;  (lambda x: x)(1)
    [x for x in [1]]  ;  {x for x in [1]}  ;  {x: 1 for x in [1]}  ;  sum(x for x in [1])  ;  (x := 5)  ;  f'{t}'
    f'{t!r:>9}'  ;  await t  ;  (yield)  ;  (yield from [1])  ;  *[1]  ;  [*res]  ;  {**{}}  ;  max(*res)
    max(1, key=sin)  ;  sorted([1], reverse=True)  ;  {1, 2}  ;  ...  ;  None  ;  b'a'  ;  1j  ;  t is 1
    t is not 1  ;  x  ;  import os  ;  t = 1  ;  t; t  ;  del t  ;  assert t  ;  pass  ;  return 1  ;  def f(): pass
    (  ;  1 +  ;  t t  ;  sin  ;  random  ;  ts(0)(1)  ;  [sin][0](1)  ;  (sin if t else cos)(1)  ;  True()  ;  5(3)
    'a'()  ;  t @ t
""")
SIZES = [
    *("9" * 1000, "(" * 300 + ")" * 300, "-" * 500 + "1", "[" * 90 + "]" * 90, "1+" * 600 + "1"),
    *("t if t else " * 150 + "t", "t" * 3000, "36893488147419103232", "not " * 400 + "1", "[1]" + "[0]" * 100),
    *("", "  ", "\x00", "\n"),
]


@pytest.mark.parametrize("source", [*HOSTILE, *SIZES])
def test_hostile_expressions_are_refused_before_anything_is_computed(source):
    with pytest.raises(ConfigError) as error:
        parse(source, set(TIME))
    assert "\n" not in str(error.value) and len(str(error.value)) < 400


def test_a_hundred_hostile_expressions_are_listed():
    assert len(set(HOSTILE)) >= 100


LATE = listed("""
    1/0  ;  t // 0  ;  5 % 0  ;  9**9**9  ;  (-8)**.5  ;  sqrt(-1)  ;  log(0)  ;  1 << 65  ;  1 << -1  ;  1 >> -1
    1.5 << 2  ;  factorial(21)  ;  factorial(10**6)  ;  factorial(-1)  ;  comb(10**6, 5)  ;  perm(100)  ;  exp(1e9)
    ldexp(1., 10**9)  ;  [1][5]  ;  {}[1]  ;  {}.get([1])  ;  res['a']  ;  'a' + 'b'  ;  'a' * 9  ;  [1] * 9
    [1] + [2]  ;  '%s' % t  ;  2 ** 'a'  ;  18446744073709551616 + 1  ;  2**64 * 2  ;  prod([2**63, 2**63])
    sum([2**64, 2**64])  ;  int('x')  ;  randint(5, 1)  ;  choice([])  ;  sample([1], 2)  ;  betavariate(nan, 1)
    gammavariate(inf, 1)  ;  expovariate(0)  ;  vonmisesvariate(nan, nan)  ;  gammavariate(1e300, 1)  ;  t()
    {}.get()  ;  sin()  ;  max()  ;  min([])  ;  pow(0, -1)  ;  1 < 'a'  ;  1 in 5  ;  -'a'  ;  ~t  ;  len(5)
    gcd(.5, 2)  ;  atan2(1)  ;  res[1.5]  ;  int(inf)  ;  round(nan)
""")


@pytest.mark.parametrize("source", LATE)
def test_what_cannot_be_computed_is_an_error_at_once(source):
    expression, began = parse(source, set(TIME)), time.perf_counter()
    with pytest.raises(ConfigError, match="cannot be computed"):
        expression(TIME, random.Random(0))
    assert time.perf_counter() - began < 0.5


def test_a_name_that_is_nearly_right_is_told():
    with pytest.raises(ConfigError, match="heigth is not known here; height is"):
        parse("heigth", set(TIME))
    with pytest.raises(ConfigError, match=r"sin is a function: sin\(\.\.\.\)"):
        parse("2*sin", set(TIME))
