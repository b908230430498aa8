/// The Neuron runtime's C interface (`nrt/nrt.h`, `nrt/nrt_experimental.h`), bound by hand: one
/// Java method per C function, handles as longs.
///
/// The synchronous functions alone. The asynchronous ones (`nrta_…`) have had two incompatible
/// signatures under one name, before and from runtime 2.31 on: whoever binds them asks
/// `nrt_get_version` first. A thread of Lockstep's own waits in `nrt_execute` meanwhile.
@NullMarked
package dev.lockstep.device.neuron.ffi;

import org.jspecify.annotations.NullMarked;
