package dev.lockstep.train;

import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.job.Job;
import dev.lockstep.train.checkpoint.CheckpointFolder;
import dev.lockstep.train.parallel.Exchange;
import java.nio.file.Path;
import java.util.Optional;

/// The steps of a run that are left, with what it does beside them: it saves, evaluates and tells.
final class TrainingLoop {
  private final Trainer trainer;
  private final CheckpointWriter checkpoints;
  private final Exchange exchange;
  private final Job job;
  private final TrainingRun run;

  TrainingLoop(
      Trainer trainer, CheckpointWriter checkpoints, Exchange exchange, Job job, TrainingRun run) {
    this.trainer = trainer;
    this.checkpoints = checkpoints;
    this.exchange = exchange;
    this.job = job;
    this.run = run;
  }

  /// Checks that ranks want the same, and that there is room for the checkpoint.
  ///
  /// @throws ConfigurationException on every rank, if one finds that it is not so
  void check() {
    RankAgreement.requireAlike(
        exchange,
        "what ranks do beside their steps",
        "saves=%s, --save-every=%s, stepsBetweenEvaluations=%s"
            .formatted(run.checkpoint() != null, run.saveEvery(), run.evaluateEvery()));
    Path checkpoint = run.checkpoint();
    String mine = checkpoint == null || job.rank() != 0 ? "" : refusal(checkpoint);
    String refusal = RankAgreement.refusal(exchange, mine);
    if (!refusal.isEmpty()) {
      throw new ConfigurationException("checkpoint", "" + checkpoint, refusal);
    }
  }

  private String refusal(Path checkpoint) {
    try {
      trainer.text().ifPresent(text -> text.requireOutside("checkpoint", checkpoint));
    } catch (ConfigurationException inside) {
      return String.valueOf(inside.getMessage());
    }
    return CheckpointFolder.refusal(checkpoint).orElse("");
  }

  /// Takes the steps up to a number, or until a rank asks to stop.
  void stepUpTo(long last) {
    if (trainer.stepsDone() == last) {
      save();
    }
    while (trainer.stepsDone() < last && !trainer.isStopped()) {
      trainer.step(run.stop().getAsBoolean());
      run.listener().stepDone(trainer);
      tell(checkpoints.poll());
      boolean isLast = trainer.stepsDone() == last;
      if (trainer.isStopped()) {
        save(); // first: whoever has asked to stop may not wait for an evaluation
        evaluateIf(isLast); // no later run would: it has no step to take
      } else {
        evaluateIf(isLast || isDue(run.evaluateEvery()));
        if (isLast || isDue(run.saveEvery())) {
          save();
        }
      }
    }
    tell(trainer.awaitSaved());
  }

  private void evaluateIf(boolean isDue) {
    if (isDue && run.evaluateEvery() > 0) {
      run.listener().evaluated(trainer, trainer.evaluate());
    }
  }

  /// Returns whether something is to be done now that is done every so many steps; 0 for never.
  private boolean isDue(int every) {
    return every > 0 && trainer.stepsDone() % every == 0;
  }

  private void save() {
    Path checkpoint = run.checkpoint();
    if (checkpoint != null) {
      tell(trainer.awaitSaved());
      trainer.saveInBackground(checkpoint, run.keepOld());
    }
  }

  private void tell(Optional<Path> saved) {
    if (saved.isPresent() && job.rank() == 0) {
      run.listener().saved(trainer, saved.get());
    }
  }
}
