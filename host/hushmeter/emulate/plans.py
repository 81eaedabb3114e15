"""What the meters of an emulated street are provisioned with, and the rules of its first epoch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

from hushfw.store import HomeLog
from hushmeter.cluster.roster import LanePlan, StreetPlan
from hushmeter.devices import meter_plan
from hushmeter.devices.boards import load_board
from hushmeter.devices.provision_board import default_watchdog_ms
from hushmeter.emulate import pairs
from hushmeter.emulate.guests import Beginning
from hushmeter.emulate.settings import StreetSettings


def storages(
    settings: StreetSettings,
    authority_key: bytes,
    supplier_key: bytes,
    secret: Callable[[str], bytes],
) -> list[dict[str, bytes]]:
    """Every meter's files by name, in order; of a board that keeps its own they are not used.

    Parameters
    ----------
    secret:
        Gives 32 secret bytes for a purpose.
    """
    out = [meter_plan.files(_meter(settings, i, authority_key)) for i in range(settings.homes)]
    for files in out:
        files |= settings.controller.files()
    if settings.provision_pairs:
        keys = [secret(f"meter key {index}") for index in range(settings.homes)]
        for index, made in enumerate(pairs.files(keys, supplier_key)):
            out[index] |= made
    return out


def replacement(
    settings: StreetSettings, meter_id: int, slot: int, authority_key: bytes
) -> dict[str, bytes]:
    """The files of a new device for a home whose old one goes: it makes a key of its own."""
    plan = replace(_meter(settings, meter_id - 1, authority_key), provisioned_pairs=False)
    if plan.fixed_seed is not None:
        # Else it would make the old device's key again.
        plan = replace(plan, fixed_seed=f"{plan.fixed_seed} replaced in slot {slot}")
    return meter_plan.files(plan) | settings.controller.files()


def _meter(s: StreetSettings, index: int, authority_key: bytes) -> meter_plan.MeterPlan:
    board = s.board(index)
    on_port = index in s.ports
    return meter_plan.MeterPlan(
        meter_id=index + 1,
        street=s.street,
        board=board,
        authority_key=authority_key,
        floors=meter_plan.Floors(
            least_members=s.least_meters,
            least_honest=s.least_meters - s.missing - s.colluders,
            greatest_epsilon=s.epsilon or Fraction(1),
            shortest_slot_s=s.slot_s,
        ),
        controller=s.controller.to_config(),
        actuator="log" if index == s.shown_home else "none",
        permitted_modes=s.modes(),
        fixed_seed=s.seed,
        provisioned_pairs=s.provision_pairs,
        home_log_kib=max(64, s.slots * HomeLog.BYTES // 256),
        watchdog_ms=default_watchdog_ms(load_board(board)) if on_port else 0,
        noise_sampler=s.noise_sampler,
        privacy_cap=s.privacy_cap,
        market=s.market,
    )


def street_plan(s: StreetSettings, begin: Beginning) -> StreetPlan:
    """The rules that the authority signs."""
    return StreetPlan(
        street=s.street,
        epoch=begin.epoch,
        previous=begin.previous,
        start_s=begin.start_s,
        first_slot=begin.first_slot,
        last_slot=begin.first_slot + s.slots - 1,
        slot_s=s.slot_s,
        missing=s.missing,
        colluders=s.colluders,
        lanes=(LanePlan(s.cap_wh, s.epsilon),),
        allowed_modes=tuple(s.modes()),
        gamma_noise=s.gamma_noise,
    )
