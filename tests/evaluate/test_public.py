import vlcli.evaluate


def test_every_public_name_is_there() -> None:
    assert sorted(vlcli.evaluate._PLACES) == sorted(vlcli.evaluate.__all__)
    for name in vlcli.evaluate.__all__:
        assert callable(getattr(vlcli.evaluate, name))
