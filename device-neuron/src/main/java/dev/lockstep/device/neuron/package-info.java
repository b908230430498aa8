/// AWS Trainium: graphs as HLO modules, compiled by `neuronx-cc`.
@NullMarked
package dev.lockstep.device.neuron;

import org.jspecify.annotations.NullMarked;
