/// The `lockstep` command: starts ranks, watches them and reports on them.
module dev.lockstep.launcher {
  requires transitive dev.lockstep.train;
  requires com.fasterxml.jackson.core;
  requires com.fasterxml.jackson.databind;
  requires info.picocli;
  requires org.slf4j;
  requires static org.jspecify;

  exports dev.lockstep.launcher;

  opens dev.lockstep.launcher to
      info.picocli;
}
