package dev.lockstep.device.neuron.compiler;

import dev.lockstep.device.neuron.hlo.HloModule;

/// Makes NEFF files of modules. Thread-safe.
public interface NeffCompiler {
  /// Compiles a module, or finds that it was compiled before. Blocks for minutes if it must.
  ///
  /// @throws dev.lockstep.failure.DeviceException if the compiler refuses the module, fails, is
  ///   killed or takes too long; the message names its code, the op and its log
  Neff compile(HloModule module);
}
