"""The least leakage by a conic solver, as an oracle."""

import math

import numpy as np
import pytest


def least_leakage(law, costs, watts):
    """Bits; `costs` of shape (inputs, outputs), infinite where not allowed; law above 0."""
    cvxpy = pytest.importorskip("cvxpy", reason="cvxpy is not installed")
    rows, columns = np.nonzero(np.isfinite(costs))
    cells = len(rows)
    joint = cvxpy.Variable(cells, nonneg=True)
    by_row, by_column = np.zeros((len(law), cells)), np.zeros((costs.shape[1], cells))
    by_row[rows, np.arange(cells)] = 1
    by_column[columns, np.arange(cells)] = 1
    apart = cvxpy.multiply(law[rows], (by_column.T @ by_column) @ joint)
    rules = [by_row @ joint == law, costs[rows, columns] @ joint <= watts]
    problem = cvxpy.Problem(cvxpy.Minimize(cvxpy.sum(cvxpy.rel_entr(joint, apart))), rules)
    problem.solve(solver=cvxpy.CLARABEL, tol_gap_abs=1e-10, tol_gap_rel=1e-10, tol_feas=1e-10)
    return problem.value / math.log(2)
