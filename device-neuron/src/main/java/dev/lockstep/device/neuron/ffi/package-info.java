/// The Neuron runtime's C interface (`nrt/nrt.h`, `nrt/nrt_experimental.h`), bound by hand: one
/// Java method per C function, handles as longs.
@NullMarked
package dev.lockstep.device.neuron.ffi;

import org.jspecify.annotations.NullMarked;
