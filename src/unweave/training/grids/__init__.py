"""Grids: every combination of some fields' values and seeds, on one machine or many."""

from unweave.training.grids.board import Board
from unweave.training.grids.grid import EXAMPLE, Grid
from unweave.training.grids.member import Member
from unweave.training.grids.results import GridResults
from unweave.training.grids.run import run_grid
from unweave.training.grids.size import Size

__all__ = ["EXAMPLE", "Board", "Grid", "GridResults", "Member", "Size", "run_grid"]
