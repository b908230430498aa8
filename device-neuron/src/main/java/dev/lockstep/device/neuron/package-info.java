/// AWS Trainium as a device: graphs as HLO, compiled by `neuronx-cc`, run by libnrt.
///
/// Note [one thread per core]: every call of the runtime for a core is made by the core's thread,
/// which is also the order of its streams. A process has one core unless the user says otherwise.
@NullMarked
package dev.lockstep.device.neuron;

import org.jspecify.annotations.NullMarked;
