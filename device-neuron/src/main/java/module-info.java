/// AWS Trainium as a device: graphs become HLO modules, `neuronx-cc` makes NEFF files of them, and
/// the Neuron runtime (libnrt) runs those. The modules run under anybody's XLA too.
module dev.lockstep.device.neuron {
  requires dev.lockstep.core;
  requires org.slf4j;
  requires static org.jspecify;

  provides dev.lockstep.device.AheadOfTime with
      dev.lockstep.device.neuron.NeuronAheadOfTime;
  provides dev.lockstep.device.DeviceProvider with
      dev.lockstep.device.neuron.NeuronDeviceProvider;
}
