/// Training: automatic differentiation, layers, optimizers, data, parallelism and checkpoints.
module dev.lockstep.train {
  requires transitive dev.lockstep.collective;
  requires com.fasterxml.jackson.core;
  requires com.fasterxml.jackson.databind;
  requires org.lz4.java;
  requires org.slf4j;
  requires static org.jspecify;

  exports dev.lockstep.train;
  exports dev.lockstep.train.checkpoint;
  exports dev.lockstep.train.data;
  exports dev.lockstep.train.metrics;
  exports dev.lockstep.train.model;
  exports dev.lockstep.train.nn;
  exports dev.lockstep.train.optim;
  exports dev.lockstep.train.parallel;
  exports dev.lockstep.train.pipeline;
  exports dev.lockstep.train.placement;

  // Recipes are records of records, read and written field by field.
  opens dev.lockstep.train to
      com.fasterxml.jackson.databind;
  opens dev.lockstep.train.model to
      com.fasterxml.jackson.databind;
  opens dev.lockstep.train.optim to
      com.fasterxml.jackson.databind;
}
