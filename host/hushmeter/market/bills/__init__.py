"""Bills that anybody can check: a home opens what a period costs, and nothing else.

Per slot and register the meter commits to a reading, c_t = E(x_t; r_t) under the home's Paillier
key, and signs a Merkle root over these commitments at least daily (:mod:`hushfw.core.leaves`). For
prices p_t anybody can form the product of c_t^(p_t) mod n^2, which is E(sum of p_t x_t). The home
sends B, that sum, and R, the n-th root of what is left; whoever has the files checks

    (1 + B n) R^n = product of c_t^(p_t)  mod n^2

The paper (Thoma, Cui, Franchetti 2013) encrypts the bill again and compares, which fresh randomness
makes impossible. R shows nothing but B; the sum of exponents, where randomness is h_s^a, would.

`files` (what is stored), `tariffs` (signed and published), `prices` (what follows from a tariff,
and whether it may be opened), `commitments` (leaves under signed roots), `opening` (B and R),
`home` (what a home checks before it opens), `journal` (what it opened), `verifying` (what anybody
checks), `fetch` (leaves from a meter).
"""
