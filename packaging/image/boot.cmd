# Which root is started: U-Boot runs this from FIRMWARE, on a Raspberry Pi as in an emulator. The record of the slots
# stands twice in front of the first partition; packaging/image/slot says what is in it. What is tried is struck off the
# record before it is started, so whatever happens then, the next start is the default's again.

if test ${devtype} = virtio; then setenv above 4; else setenv above 0; fi
setenv record_at 0x${above}7d00000
setenv fdt_at 0x${above}7e00000
setenv kernel_at 0x${above}4000000
setenv initrd_at 0x${above}8000000
setenv names slot_default slot_try slot_tried slot_A slot_B slot_left

${devtype} dev ${devnum}
setenv found no
for sector in 800 2000; do
    if test ${found} = no; then
        if ${devtype} read ${record_at} ${sector} 1; then
            if env import -c ${record_at} 200 ${names}; then setenv found yes; fi
        fi
    fi
done
if test ${found} = no; then
    echo "tresma: no record of the slots, a fresh one"
    setenv slot_default A; setenv slot_try none; setenv slot_tried none
    setenv slot_A good; setenv slot_B empty; setenv slot_left 9
fi

setenv slot ${slot_default}
if test ${slot_try} != none; then
    setenv slot ${slot_try}
    setenv slot_tried ${slot_try}
    setenv slot_try none
else
    if test ${slot_tried} != none; then
        echo "tresma: slot ${slot_tried} was tried and not confirmed"
        setenv slot_${slot_tried} bad
        setenv slot_tried none
    fi
    if test ${slot_left} = 0; then
        echo "tresma: slot ${slot_default} was started often and never reported health"
        setenv slot_left 9
        if test ${slot_default} = A; then
            if test ${slot_B} = good; then setenv slot_default B; fi
        else
            if test ${slot_A} = good; then setenv slot_default A; fi
        fi
        setenv slot ${slot_default}
    fi
    setexpr slot_left ${slot_left} - 1
fi

setenv keep 'env export -c -s 200 ${record_at} ${names} && ${devtype} write ${record_at} 800 1 && ${devtype} write ${record_at} 2000 1'
if run keep; then
    setenv kept yes
else
    # A trial that cannot be struck off would be started for ever.
    echo "tresma: the record of the slots cannot be written"
    setenv slot ${slot_default}
fi

if test ${slot} = A; then setenv part 2; else setenv part 3; fi
echo "tresma: slot ${slot}"
setenv fdt ${fdtcontroladdr}
if test -n "${fdt_addr}"; then setenv fdt ${fdt_addr}; fi
if load ${devtype} ${devnum}:${part} ${fdt_at} /boot/dtbs/${fdtfile}; then setenv fdt ${fdt_at}; fi
part uuid ${devtype} ${devnum}:${part} root
# Of the kernel's security modules those that are used: with BPF's, the service manager works out programs at each start
# that nobody asks for (35 s of processor time in the emulated machine).
setenv bootargs root=PARTUUID=${root} ro rootwait tresma.slot=${slot} net.ifnames=0 panic=10 fsck.repair=yes quiet loglevel=4 lsm=landlock,lockdown,yama ${tresma_args}
if load ${devtype} ${devnum}:${part} ${kernel_at} /boot/vmlinuz; then
    if load ${devtype} ${devnum}:${part} ${initrd_at} /boot/initrd.img; then
        booti ${kernel_at} ${initrd_at}:${filesize} ${fdt}
    fi
fi

# Here only if nothing could be started. A trial is over by itself; a default that cannot even be read gives way.
echo "tresma: slot ${slot} cannot be started"
if test ${slot} = ${slot_default}; then
    setenv slot_left 0
    run keep
fi
sleep 5
reset
