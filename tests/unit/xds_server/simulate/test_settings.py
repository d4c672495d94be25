import pytest

from xds_server.simulate.settings import SettingsError, SimulateSettings


def test_a_change_keeps_what_it_does_not_name():
    settings = SimulateSettings(latency_s=0.5, tokens=7)

    changed = settings.changed({"fail_rate": 1, "tokens": None})

    assert changed == SimulateSettings(latency_s=0.5, fail_rate=1.0)
    assert settings.tokens == 7


@pytest.mark.parametrize(
    ("update", "named"),
    [
        ({"latency": 1}, "latency"),
        ({"latency_s": -1}, "latency_s"),
        ({"latency_s": float("inf")}, "latency_s"),
        ({"token_latency_s": "1"}, "token_latency_s"),
        ({"tokens": 0}, "tokens"),
        ({"fail_rate": 1.1}, "fail_rate"),
        ({"fail_status": 200}, "fail_status"),
        ({"healthy": "no"}, "healthy"),
        ({"health_latency_s": None}, "health_latency_s"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(update, named):
    with pytest.raises(SettingsError, match=f"^{named}: "):
        SimulateSettings().changed(update)
