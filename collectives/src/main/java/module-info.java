/// Collective operations: requests, schedules, their verification and their execution.
module dev.lockstep.collective {
  requires transitive dev.lockstep.core;
  requires org.slf4j;
  requires static org.jspecify;

  exports dev.lockstep.collective;
  exports dev.lockstep.collective.algorithm;
  exports dev.lockstep.collective.plan;
  exports dev.lockstep.collective.request;
  exports dev.lockstep.collective.schedule;
  exports dev.lockstep.collective.simulate;
  exports dev.lockstep.collective.verify;
}
