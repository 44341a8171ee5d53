"""Which of a feature's significant tests names what happened, and the sentence about it.

A change of one thing makes many tests significant. A shift of the mean moves every quantile, brings
values that the reference never saw, and empties the bucket of zeros. The test with the largest
effect is then often not the cause. So each cause that a test stands for is undone on the window's
histogram, and the distance to the reference that remains is measured:

========== =====================================================================================
test       what is undone
========== =====================================================================================
zero,      the value is taken out of both sides; a frequent value with less than half of the growth
value,     of all of them explains nothing
frequent_
value
location   the values are shifted back by the median or mean difference, or divided by their common
           factor, or their normal scores are shifted back
dispersion the spread around the reference's median is divided by its ratio, or that of the normal
           scores is
range,     these values are taken out of the window
unseen
========== =====================================================================================

The leading test is the one that leaves least. Several may leave as good as nothing: at most 5 % of
the distance, or what sampling alone gives. Then the first of them in the order of the table leads,
because a change of one share is simpler than a shift, and a shift makes new values but new values
make no shift. If none leaves less than 15 % but a shift and a stretch together do, the larger of
the two leads. If even the best leaves more than half, no single cause explains the change, and the
shape (of a category, from 15 % on: all shares) leads. Missing and non-finite values are a change of
their own and lead if their effect is larger.

The tests that reach the feature's level take part, and location and dispersion from the suspected
floor on if they explain the change: the reason then names the stronger test too. Significance and
outcome do not depend on the choice.

`numeric_change` and `category_change` measure distances, `leading` chooses, `phrases` puts the
change in the feature's own terms.
"""
