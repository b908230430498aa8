/// Micro-benchmarks and the benchmark of collectives.
module dev.lockstep.bench {
  requires dev.lockstep.launcher;
  requires HdrHistogram;
  requires com.fasterxml.jackson.core;
  requires com.fasterxml.jackson.databind;
  requires info.picocli;
  requires jmh.core;
  requires org.slf4j;
  requires static org.jspecify;
}
