/// Training: automatic differentiation, layers, optimizers, data, parallelism and checkpoints.
module dev.lockstep.train {
  requires transitive dev.lockstep.collective;
  requires com.fasterxml.jackson.core;
  requires com.fasterxml.jackson.databind;
  requires org.lz4.java;
  requires org.slf4j;
  requires static org.jspecify;

  exports dev.lockstep.train.checkpoint;
  exports dev.lockstep.train.data;
}
