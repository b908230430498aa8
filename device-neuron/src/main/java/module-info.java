/// AWS Trainium: graphs become HLO modules and `neuronx-cc` makes NEFF files of them. The modules
/// run under anybody's XLA too.
module dev.lockstep.device.neuron {
  requires dev.lockstep.core;
  requires static org.jspecify;

  provides dev.lockstep.device.AheadOfTime with
      dev.lockstep.device.neuron.NeuronAheadOfTime;
}
