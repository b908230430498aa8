/// libfabric's C interface, bound by hand: one Java method per C function, addresses as longs.
@NullMarked
package dev.lockstep.transport.efa.ffi;

import org.jspecify.annotations.NullMarked;
