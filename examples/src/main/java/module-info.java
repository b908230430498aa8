/// Jobs to run and to learn from.
module dev.lockstep.examples {
  requires dev.lockstep.launcher;
  requires info.picocli;
  requires org.slf4j;
  requires static org.jspecify;
}
