/// Graphs as HLO modules: the bytes of an `xla.HloModuleProto`, which `neuronx-cc` compiles and XLA
/// runs.
///
/// Note [nothing without elements]: a value of zero elements never enters a module, neither as a
/// parameter nor as a result. Ops that make something of nothing, the sum of no elements for one,
/// are emitted as the constant that they are.
///
/// Note [names of instructions]: an instruction is called `NODE_LABEL.ID`, so that a compiler that
/// complains of an instruction has named the op of the graph it came from.
@NullMarked
package dev.lockstep.device.neuron.hlo;

import org.jspecify.annotations.NullMarked;
