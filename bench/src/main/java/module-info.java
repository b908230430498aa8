/// Micro-benchmarks and the benchmark of collectives.
module dev.lockstep.bench {
  requires dev.lockstep.launcher;
  requires HdrHistogram;
  requires com.fasterxml.jackson.core;
  requires com.fasterxml.jackson.databind;
  requires info.picocli;
  requires java.management;
  requires jdk.management;
  requires jmh.core;
  requires org.slf4j;
  requires static org.jspecify;

  opens dev.lockstep.bench to
      info.picocli;
  opens dev.lockstep.bench.step to
      info.picocli;

  exports dev.lockstep.bench.micro to
      jmh.core;

  uses dev.lockstep.device.DeviceProvider;

  provides dev.lockstep.launcher.CommandProvider with
      dev.lockstep.bench.ExplainCommand,
      dev.lockstep.bench.PerfCommand,
      dev.lockstep.bench.SimulateCommand,
      dev.lockstep.bench.VerifyLayoutsCommand;
  provides dev.lockstep.launcher.JobProvider with
      dev.lockstep.bench.PerfJob;
}
