/// Jobs to run and to learn from.
module dev.lockstep.examples {
  requires dev.lockstep.launcher;
  requires info.picocli;
  requires org.slf4j;
  requires static org.jspecify;

  opens dev.lockstep.examples.language to
      info.picocli;

  uses dev.lockstep.device.AheadOfTime;

  provides dev.lockstep.launcher.CommandProvider with
      dev.lockstep.examples.language.CompileCommand;
  provides dev.lockstep.launcher.JobProvider with
      dev.lockstep.examples.language.GptJob,
      dev.lockstep.examples.language.LlamaJob,
      dev.lockstep.examples.language.MlpJob,
      dev.lockstep.examples.language.MoeJob;
}
