/// The `lockstep` command: starts ranks, watches them and reports on them.
///
/// Jobs ([dev.lockstep.launcher.JobProvider]) and verbs ([dev.lockstep.launcher.CommandProvider])
/// are brought by other modules. [dev.lockstep.launcher.Launcher] does in code what `lockstep run`
/// does.
module dev.lockstep.launcher {
  requires transitive dev.lockstep.train;
  requires ch.qos.logback.classic;
  requires ch.qos.logback.core;
  requires info.picocli;
  requires java.management;
  requires jdk.management;
  requires org.slf4j;
  requires static org.jspecify;

  exports dev.lockstep.launcher;

  opens dev.lockstep.launcher to
      info.picocli;

  uses dev.lockstep.launcher.CommandProvider;
  uses dev.lockstep.launcher.JobProvider;

  provides ch.qos.logback.classic.spi.Configurator with
      dev.lockstep.launcher.logging.CommandLogging;
}
