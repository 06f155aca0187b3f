from test_systemd_restart import *
@pytest.mark.parametrize("drop", [0,1])
def test_x(machine, certificates, drop):
    install_certificate(machine, certificates.server())
    if drop: machine.drop_in("sluice.service","no","[Service]\nFileDescriptorStoreMax=0\n")
    s= Service(machine, every_kind())
    s.stop()
