"""Scipy's special functions for single numbers.

They are the code that the array functions of `scipy.special` call for each element, so the results
are the same to the last bit. An array function spends most of its time on the types and shapes of
its arguments; for one number these take a tenth of it.

>>> from scipy import special
>>> ndtri(0.975) == float(special.ndtri(0.975))
True
>>> betainc(20, 81, 0.1) == float(special.betainc(20, 81, 0.1))
True
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from scipy.special import cython_special

_functions: Any = cython_special  # of several types some have a variant for each

ndtr: Callable[[float], float] = _functions.ndtr["double"]
"""Normal distribution function."""
ndtri: Callable[[float], float] = _functions.ndtri
"""Normal quantile."""
betainc: Callable[[float, float, float], float] = _functions.betainc["double"]
"""Regularised incomplete beta function I_x(a, b); arguments a, b, x."""
pdtr: Callable[[float, float], float] = _functions.pdtr
"""P(Poisson <= k); arguments k, mean."""
pdtrc: Callable[[float, float], float] = _functions.pdtrc
"""P(Poisson > k); arguments k, mean."""
chdtrc: Callable[[float, float], float] = _functions.chdtrc
"""P(chi-square >= x); arguments degrees, x."""
chdtri: Callable[[float, float], float] = _functions.chdtri
"""The x with this probability of a larger chi-square; arguments degrees, probability."""
