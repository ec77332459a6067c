"""The words of docs/physics.md, for `physics_check.py`; the scores in them are filled in."""

from __future__ import annotations

HEAD = """# The physics operator against the simulated atmosphere

Made by `python tools/physics_check.py STORE docs/physics.md docs/physics.png --simulation DIR`; do not edit.

K(x) of `phyda_cli/physics/residuals.py` is compared with the rate of change x_t of the simulation that the training
data come from. Every pair of numbers is **correlation / error ratio**: the correlation of K with x_t about zero, and
RMS(K − x_t)/RMS(x_t), weighted by area, from 80° S to 80° N. `hydrostatic` and `none` have K = 0, which would be 0 / 1
everywhere: an error ratio above 1 is worse than no rate of change at all.

![Scores by level; v500 rates of change of one state; error by strength of the advection]({figure})
"""

READING = """## What the numbers say

Of 200 to 700 hPa, as all tables over several levels. `proxy` has no ω, no metric terms and no equation for z.

- **Where `full` holds.** Mid-latitudes: z {z_full[mid-latitudes]}, u {u_full[mid-latitudes]},
  v {v_full[mid-latitudes]}, t {t_full[mid-latitudes]}, q {q_full[mid-latitudes]}. Jets and moist ascent are much the
  same, except for q.
- **Where `proxy` fails.** Temperature: {t_proxy[mid-latitudes]} in mid-latitudes, {t_proxy[jets]} in jets. Rising air
  cools, which offsets much of the horizontal advection; the proxy lacks it and shares the error of `full` with ω = 0
  ({t_still[jets]}). It is worst from 300 to 200 hPa. Wind in jets: v {v_proxy[jets]} against {v_full[jets]},
  u {u_proxy[jets]} against {u_full[jets]}. Much of that of v is steady, as the missing u² tan φ/a is: in the changes it
  is {v_proxy_changes[jets]} against {v_full_changes[jets]}.
- **Strongly nonlinear regimes**, for which the paper leaves the proxy's error open. Poleward of 20°, from the weakest
  to the strongest fifth of |V·∇V|, the error ratio of the proxy's wind falls from {wind_proxy_weak} to
  {wind_proxy_strong}, and that of `full` from {wind_full_weak} to {wind_full_strong}. Strong advection belongs to the
  large scales, which both hold best; but what the simplification adds to the error grows. For temperature the proxy
  stays at {t_proxy_weak} to {t_proxy_strong}, worse than K = 0, while `full` falls from {t_full_weak} to
  {t_full_strong}. What the proxy lacks is not the advection, which it has, but the ω that goes with it.
- **Where `full` fails.** Tropics: t {t_full[tropics]}, v {v_full[tropics]}, z {z_full[tropics]}. There the cooling of
  rising air is offset by convective heating, which K does not have; t errs less with ω = 0 ({t_still[tropics]}).
  So does q there: {q_full[tropics]}, with ω = 0 {q_still[tropics]}, `proxy` {q_proxy[tropics]}; and in moist ascent:
  {q_full[moist ascent]}, {q_still[moist ascent]}, {q_proxy[moist ascent]}. Condensation improves q and t (without it,
  in moist ascent: q {q_dry[moist ascent]}, t {t_dry[moist ascent]} instead of {t_full[moist ascent]}), q not enough.
- **By level.** At 850 and 925 hPa both are worse than K = 0 for the wind: there is no friction in K, and over high
  ground these levels lie below the surface. At 250 and 300 hPa wind and temperature of both are worse than at 200 and
  500 hPa: these lie between two of the simulation's eight layers (σ = 0.20 and 0.34), and a product of interpolated
  fields is not the product interpolated. A steady error of v in the subtropics, in both, has probably the same origin:
  the simulation's wind balances the geopotential of its own layers.
- **What to choose.** `full` poleward of 20°, from 200 to 700 hPa, for u, v, t, z. For q the proxy is as good outside
  the tropics, better in moist ascent, and costs less. `PhysicsConfig` selects equations, levels and latitudes.

In training K(x̂) is compared with K(x), so that what both lack cancels. The tables tell how much of the atmosphere's
motion K holds, not what it is worth as a regulariser.
"""

METHOD = """## Method

{reference}. Regimes: tropics |φ| < 20°; mid-latitudes 30° < |φ| < 60°;
jets: more than 30 m/s at 250 hPa; moist ascent: ω < −0.1 Pa/s (K's own ω) and relative humidity > 80 %; strong
advection: the largest tenth of |V·∇V| on each level. Of the points on all levels they hold: {shares}.

K and x_t are cut at n ≤ 20; the proxy, which has no filter of its own, is cut here for the comparison. Tables over
several levels count each level in units of its own RMS(x_t). Radiation, convection, friction and diffusion are in x_t
and not in K.
"""

COST = """Processor time in milliseconds a state: single precision, one thread, batches of 32, the median of nine; of
`hydrostatic` the residual, of the others K. The load average was {load:.1f}: from 1 on, other work shared the
machine, and its memory.
"""

TABLES = """`full, dry` is without condensation; `full, ω = 0` without vertical motion, and so dry. As they are:
"""

FIFTHS = """Fifths of |V·∇V| on each level, 1 the weakest; V·∇V / f V is the ratio of the RMS values, a Rossby number.
"""

LEVELS = """A dash: hardly any point is in the regime.
"""

HYDROSTATIC = """`hydrostatic` has no K. Its residual takes a layer's thickness from the mean of T_v at its two sides.
Judged by that, the thickness's rate of change follows from that of T_v to a few per cent, save from 500 to 300 hPa,
where T_v bends most. The residual is not zero in true states: it is to be compared with the truth's.
"""

CHOICES = """Three things are not as the text-book has them; each undone alone:

- The state is not cut at n ≤ 20 before products are taken; only the rates of change are.
- ω is corrected to vanish at 1000 hPa (O'Brien 1970), and D falls to zero above the top level.
- Φ_t is tied to the wind's tendency at 500 hPa by linear balance, not to ω α − V·∇Φ at the lowest level.
"""

REFERENCE = """The same states, all regimes. Differences over ±6 h average over 12 h and are smaller than x_t: the error
ratio of K rises, its correlation hardly changes. For z it is the better reference, because K does not have the fast
part, gravity waves, which the average takes out.
"""

SIX_HOURLY = """The store's test part, {count} states, with ±6 h differences:
"""
