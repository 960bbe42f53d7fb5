"""Networks in the words of other programs, made here for tests: nets of pandapower, master files of OpenDSS."""

from pathlib import Path
from typing import Any


def small_pandapower_net() -> Any:
    """
    Give a net with what pandapower has and a document can say.

    Two 110/20 kV and 20/0.4 kV transformers with taps at either side, switches of all kinds at buses, lines and a
    transformer, loads of constant impedance and current, a storage, generators that feed and that hold a voltage, a
    shunt, a motor, a line of two systems, and measured places.
    """
    import pandapower as pp

    net = pp.create_empty_network(name="Small town", f_hz=50.0)
    high = pp.create_bus(net, 110.0, name="Substation 110")
    bars = [pp.create_bus(net, 20.0, name=name) for name in ("Bar A", "Bar B", "North", "South", "Mill")]
    low = [pp.create_bus(net, 0.4, name=name) for name in ("Kiosk", "House", "Barn")]
    pp.create_ext_grid(net, high, vm_pu=1.01, va_degree=4.0, s_sc_max_mva=3000.0, rx_max=0.1)
    pp.create_transformer_from_parameters(
        net,
        high,
        bars[0],
        40.0,
        110.0,
        20.0,
        0.4,
        12.0,
        0.0,
        0.0,
        shift_degree=150,
        tap_side="hv",
        tap_neutral=0,
        tap_min=-9,
        tap_max=9,
        tap_step_percent=1.5,
        tap_pos=-2,
        tap_changer_type="Ratio",
        vector_group="YNd",
        name="T 110",
    )
    pp.create_transformer_from_parameters(
        net,
        bars[3],
        low[0],
        0.4,
        20.0,
        0.4,
        1.2,
        4.0,
        0.0,
        0.0,
        shift_degree=330,
        tap_side="lv",
        tap_neutral=0,
        tap_min=-2,
        tap_max=2,
        tap_step_percent=2.5,
        tap_pos=1,
        tap_changer_type="Ratio",
        vector_group="Dyn",
        parallel=2,
        name="Kiosk transformer",
    )
    cable = {"r_ohm_per_km": 0.2, "x_ohm_per_km": 0.12, "c_nf_per_km": 250.0, "max_i_ka": 0.3}
    lines = [
        pp.create_line_from_parameters(net, bars[one], bars[other], length, **cable, name=f"Cable {one}-{other}")
        for one, other, length in ((1, 2, 2.5), (2, 3, 1.2), (1, 4, 3.3), (4, 3, 2.0))
    ]
    service = {"r_ohm_per_km": 0.32, "x_ohm_per_km": 0.08, "c_nf_per_km": 0.0, "max_i_ka": 0.2}
    pp.create_line_from_parameters(net, low[0], low[1], 0.12, **service, parallel=2, name="Lane")
    pp.create_line_from_parameters(net, low[1], low[2], 0.05, **service, name="Yard")
    pp.create_switch(net, bars[0], bars[1], et="b", type="CB", in_ka=1.25, name="Coupler")
    pp.create_switch(net, bars[3], lines[3], et="l", closed=False, type="LBS", name="Open point")
    pp.create_switch(net, bars[1], lines[0], et="l", type="CB", name="Feeder North")
    pp.create_switch(net, bars[3], 1, et="t", type="DS", name="Kiosk disconnector")
    pp.create_load(net, bars[2], 1.2, 0.4, name="North load", scaling=0.9)
    pp.create_load(
        net,
        bars[4],
        0.8,
        0.3,
        const_z_p_percent=30,
        const_i_p_percent=20,
        const_z_q_percent=30,
        const_i_q_percent=20,
        name="Mill load",
    )
    pp.create_load(net, low[1], 0.02, 0.005, name="House load")
    pp.create_load(net, low[2], 0.03, 0.01, name="Barn load")
    pp.create_sgen(net, low[2], 0.015, 0.002, name="Roof")
    pp.create_storage(net, low[1], 0.004, 0.01, name="Battery")
    pp.create_gen(net, bars[4], 0.5, vm_pu=1.0, name="Mill turbine")
    pp.create_shunt(net, bars[2], -0.3, name="Bank")
    pp.create_motor(net, bars[4], 0.2, 0.85, efficiency_percent=92.0, loading_percent=80.0, name="Saw")
    pp.create_measurement(net, "v", "bus", 1.0, 0.01, bars[1])
    pp.create_measurement(net, "p", "line", 1.0, 0.01, lines[0], side="from")
    pp.create_measurement(net, "q", "line", 1.0, 0.01, lines[0], side="from")
    return net


def uneven_pandapower_net() -> Any:
    """Give a low-voltage net by phases: wye and delta loads, a single-phase generator, two vector groups."""
    import pandapower as pp

    net = pp.create_empty_network(name="Uneven", f_hz=50.0)
    bus = [pp.create_bus(net, base, name=name) for name, base in zip("mabcd", (20.0, 0.4, 0.4, 20.0, 0.4), strict=True)]
    pp.create_ext_grid(net, bus[0], vm_pu=1.02, s_sc_max_mva=200.0, rx_max=0.2, r0x0_max=0.3, x0x_max=1.4, name="Grid")
    zero = {"vk0_percent": 5.0, "vkr0_percent": 1.4, "mag0_percent": 90.0, "mag0_rx": 0.3, "si0_hv_partial": 0.8}
    pp.create_transformer_from_parameters(
        net, bus[0], bus[1], 0.25, 20.0, 0.4, 1.1, 4.0, 0.0, 0.0, shift_degree=150, vector_group="Dyn", **zero
    )
    cable = {"r_ohm_per_km": 0.2, "x_ohm_per_km": 0.12, "c_nf_per_km": 250.0, "max_i_ka": 0.3}
    low = {"r_ohm_per_km": 0.32, "x_ohm_per_km": 0.08, "c_nf_per_km": 10.0, "max_i_ka": 0.2}
    zero_of = {"r0_ohm_per_km": 1.1, "x0_ohm_per_km": 0.4, "c0_nf_per_km": 120.0}
    pp.create_line_from_parameters(net, bus[0], bus[3], 3.0, **cable, **zero_of, name="Cable")
    pp.create_line_from_parameters(net, bus[1], bus[2], 0.2, **low, **zero_of, name="Lane")
    pp.create_transformer_from_parameters(
        net, bus[3], bus[4], 0.16, 20.0, 0.4, 1.3, 4.0, 0.0, 0.0, shift_degree=30, vector_group="Dyn", **zero
    )
    pp.create_asymmetric_load(net, bus[2], p_a_mw=0.02, p_b_mw=0.005, q_a_mvar=0.004, name="Shop")
    pp.create_asymmetric_load(net, bus[4], p_a_mw=0.01, p_b_mw=0.02, p_c_mw=0.004, type="delta", name="Pump")
    pp.create_asymmetric_sgen(net, bus[1], p_c_mw=0.006, q_c_mvar=0.001, name="Roof")
    pp.create_load(net, bus[3], 0.1, 0.02, name="Works")
    return net


def write_master(folder: Path, name: str, text: str) -> Path:
    """Write a master file of OpenDSS."""
    file = folder / f"{name}.dss"
    file.write_text(text)
    return file


LIMITS = "vminpu=0.5 vmaxpu=1.5"

REGULATED = f"""
clear
set defaultbasefrequency=60
new circuit.regulated basekv=115 pu=1.02 angle=12 bus1=src mvasc3=2000 mvasc1=2100
new transformer.sub phases=3 windings=2 xhl=8 buses=[src bus1] conns=[delta wye] kvs=[115 4.16] kvas=[5000 5000] %r=.5
new transformer.reg1 phases=1 xhl=.02 kvas=[1666 1666] buses=[bus1.1 bus2.1] kvs=[2.4 2.4] %loadloss=.01
new transformer.reg2 phases=1 xhl=.02 kvas=[1666 1666] buses=[bus1.2 bus2.2] kvs=[2.4 2.4] %loadloss=.01
new transformer.reg3 phases=1 xhl=.02 kvas=[1666 1666] buses=[bus1.3 bus2.3] kvs=[2.4 2.4] %loadloss=.01
new regcontrol.one transformer=reg1 winding=2 vreg=122 band=2 ptratio=20
new regcontrol.two transformer=reg2 winding=2 vreg=122 band=2 ptratio=20
new regcontrol.three transformer=reg3 winding=2 vreg=122 band=2 ptratio=20
new linecode.three nphases=3 basefreq=60 units=mi rmatrix=(.35 | .15 .34 | .15 .15 .34)
~ xmatrix=(1.02 | .50 1.05 | .42 .38 1.03) cmatrix=(16.7 | -5.3 15.9 | -3.3 -1.9 15.2)
new linecode.two nphases=2 basefreq=60 units=mi rmatrix=(1.33 | .21 1.32) xmatrix=(1.35 | .46 1.36) cmatrix=(12 | -2 12)
new linecode.one nphases=1 basefreq=60 units=mi rmatrix=(1.33) xmatrix=(1.35) cmatrix=(12)
new line.trunk phases=3 bus1=bus2 bus2=bus3 linecode=three length=2000 units=ft
new line.trunk2 phases=3 bus1=bus3 bus2=bus4 linecode=three length=.4 units=mi
new line.arm phases=2 bus1=bus3.3.2 bus2=bus5.3.2 linecode=two length=500 units=ft
new line.leg phases=2 bus1=bus4.1.3 bus2=bus6.1.3 linecode=two length=.1 units=km
new line.toe phases=1 bus1=bus6.3 bus2=bus7.3 linecode=one length=90 units=m
new line.sw phases=3 bus1=bus4 bus2=bus8 switch=y r1=1e-5 r0=1e-5 x1=0 x0=0 c1=0 c0=0
new line.end phases=3 bus1=bus8 bus2=bus9 linecode=three length=500 units=ft
new transformer.small phases=3 windings=2 xhl=2 kvs=[4.16 .48] kvas=[500 500] %rs=[.55 .55] buses=[bus3 bus10]
~ conns=[wye wye]
new load.d4 bus1=bus4 phases=3 conn=delta model=1 kv=4.16 kw=900 kvar=500 {LIMITS}
new load.w10a bus1=bus10.1 phases=1 model=1 kv=.277 kw=160 kvar=110 {LIMITS}
new load.w10b bus1=bus10.2 phases=1 model=3 kv=.277 kw=120 kvar=90 {LIMITS}
new load.w5 bus1=bus5.2 phases=1 model=1 kv=2.4 kw=170 kvar=125 {LIMITS}
new load.d5 bus1=bus5.2.3 phases=1 conn=delta model=2 kv=4.16 kw=230 kvar=132 {LIMITS}
new load.d8 bus1=bus8.3.1 phases=1 conn=delta model=5 kv=4.16 kw=170 kvar=151 {LIMITS}
new load.w9 bus1=bus9 phases=3 model=4 cvrwatts=.8 cvrvars=2 kv=4.16 kw=800 kvar=400 {LIMITS}
new load.z9 bus1=bus9.1 phases=1 model=8 zipv=[.3 .3 .4 .5 .2 .3 0] kv=2.4 kw=60 kvar=30 {LIMITS}
new load.w7 bus1=bus7.3 phases=1 model=5 kv=2.4 kw=170 kvar=80 {LIMITS}
new capacitor.bank bus1=bus9 phases=3 kvar=600 kv=4.16
new capacitor.single bus1=bus7.3 phases=1 kvar=100 kv=2.4
new generator.plant bus1=bus4 phases=3 kv=4.16 kw=200 pf=.95 model=1 {LIMITS}
new energymeter.head element=line.trunk terminal=1
set voltagebases=[115 4.16 .48]
calcvoltagebases
solve
"""
"""Thirteen-node style: regulators, single-phase laterals, a switch, loads of all models, capacitors, a generator."""

FOUR_WIRE = f"""
clear
set defaultbasefrequency=50
new circuit.fourwire basekv=11 pu=1.0 bus1=mv r1=.05 x1=.4 r0=.1 x0=.6
new transformer.t1 phases=3 windings=2 xhl=4 %rs=[.5 .5] buses=[mv lv.1.2.3.4] conns=[delta wye] kvs=[11 .416]
~ kvas=[250 250] leadlag=lead tap=1.025
new reactor.earth phases=1 bus1=lv.4 bus2=lv.0 r=2 x=0
new linecode.four nphases=4 basefreq=50 units=km
~ rmatrix=(.37 | .05 .37 | .05 .05 .37 | .05 .05 .05 .42)
~ xmatrix=(.72 | .65 .72 | .63 .64 .72 | .61 .62 .63 .74)
~ cmatrix=(60 | -9 60 | -9 -9 60 | -9 -9 -9 60)
new linecode.service nphases=2 basefreq=50 units=km rmatrix=(1.1 | .05 1.1) xmatrix=(.75 | .65 .75) cmatrix=(0 | 0 0)
new line.main1 phases=4 bus1=lv.1.2.3.4 bus2=n1.1.2.3.4 linecode=four length=120 units=m
new line.main2 phases=4 bus1=n1.1.2.3.4 bus2=n2.1.2.3.4 linecode=four length=.08 units=km
new line.house1 phases=2 bus1=n1.1.4 bus2=h1.1.4 linecode=service length=20 units=m
new line.house2 phases=2 bus1=n2.2.4 bus2=h2.2.4 linecode=service length=25 units=m
new reactor.rod phases=1 bus1=n2.4 bus2=n2.0 r=20 x=0
new load.l1 bus1=h1.1.4 phases=1 kv=.24 kw=4 kvar=1 model=1 {LIMITS}
new load.l2 bus1=h2.2.4 phases=1 kv=.24 kw=3 kvar=.5 model=2 {LIMITS}
new load.l3 bus1=n2.1.2.3.4 phases=3 kv=.416 kw=12 kvar=4 model=5 {LIMITS}
new pvsystem.roof bus1=h1.1.4 phases=1 kv=.24 kva=3 pmpp=2 irradiance=.8 pf=1 {LIMITS}
set voltagebases=[11 .416]
calcvoltagebases
solve
"""
"""A four-wire low-voltage feeder, its neutral grounded through resistances, Dyn11, a tap, a photovoltaic system."""

SWITCHED = f"""
clear
set defaultbasefrequency=60
new circuit.switched basekv=12.47 pu=1.03 bus1=s r1=.1 x1=.5 r0=.2 x0=.9
new line.l1 phases=3 bus1=s bus2=a r1=.2 x1=.4 r0=.5 x0=1.2 c1=10 c0=5 length=2 units=km
new line.l2 phases=3 bus1=a bus2=b r1=.2 x1=.4 r0=.5 x0=1.2 c1=10 c0=5 length=1 units=km
new line.l3 phases=3 bus1=a bus2=c r1=.2 x1=.4 r0=.5 x0=1.2 c1=10 c0=5 length=1.5 units=km
new line.l4 phases=1 bus1=b.2 bus2=d.2 r1=.6 x1=.8 r0=.6 x0=.8 c1=5 c0=5 length=.7 units=km
new line.tie phases=3 bus1=b bus2=c switch=y
open line.tie 1
new line.spare phases=3 bus1=c bus2=e r1=.2 x1=.4 r0=.5 x0=1.2 length=1 units=km
open line.spare 2
new recloser.r1 monitoredobj=line.l1 phasetrip=400 groundtrip=80 shots=3 recloseintervals=(.5 2)
new tcc_curve.link npts=2 c_array=(2 20) t_array=(10 .05)
new fuse.f1 monitoredobj=line.l4 fusecurve=link ratedcurrent=40
new transformer.yd phases=3 windings=2 xhl=5 %rs=[.6 .6] buses=[c f] conns=[wye delta] kvs=[12.47 .48] kvas=[750 750]
new transformer.one phases=1 windings=2 xhl=3 %rs=[.7 .7] buses=[d.2 g.2] kvs=[7.2 .24] kvas=[50 50]
new load.lb bus1=b phases=3 kv=12.47 kw=600 kvar=200 model=1 {LIMITS}
new load.lf bus1=f phases=3 conn=delta kv=.48 kw=300 kvar=90 model=1 {LIMITS}
new load.lg bus1=g.2 phases=1 kv=.24 kw=20 kvar=5 model=1 {LIMITS}
set voltagebases=[12.47 .48 .416]
calcvoltagebases
solve
"""
"""Switches open and closed, lines that are open at an end, a recloser, a fuse, YNd and single-phase transformers."""

ODD = SWITCHED.replace(
    "set voltagebases",
    """
new transformer.split phases=1 windings=3 buses=[b.1 h.1.0 h.0.2] kvs=[7.2 .12 .12] kvas=[25 25 25] xhl=2 xht=2 xlt=1.3
new load.lh bus1=h.1.2 phases=1 kv=.24 kw=5 kvar=1 model=1
new load.off bus1=b phases=3 kv=12.47 kw=100 enabled=no
new line.crossed phases=3 bus1=b.1.2.3 bus2=x.2.3.1 r1=.2 x1=.4 r0=.5 x0=1.2 length=1 units=km
new load.lx bus1=x phases=3 kv=12.47 kw=1 kvar=0
new capacitor.series phases=3 bus1=b bus2=y kvar=100 kv=12.47
new monitor.m element=transformer.split terminal=1
set voltagebases""",
)
"""The same with what a document cannot say."""
