/// HLO modules compiled to NEFF files by `neuronx-cc`, and kept.
@NullMarked
package dev.lockstep.device.neuron.compiler;

import org.jspecify.annotations.NullMarked;
