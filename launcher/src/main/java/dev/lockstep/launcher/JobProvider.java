package dev.lockstep.launcher;

import java.io.PrintStream;
import java.nio.file.Path;
import java.util.List;

/// A job that `lockstep run` can start, found by [java.util.ServiceLoader].
///
/// [#help], [#check] and [#checkLogs] are called in the command's own process, before any rank is
/// started and without the Vector API: they must compute nothing. [#run] is called once in each
/// rank's process.
public interface JobProvider {
  /// Returns the name that users write, for example `gpt`.
  String name();

  /// Returns one line about the job, for lists.
  String summary();

  /// Returns whether the job is shown in lists; a job that only a command starts is not.
  default boolean isListed() {
    return true;
  }

  /// Prints what `lockstep run JOB --help` shows.
  ///
  /// @param name how the user calls it, for example `lockstep run gpt`
  void help(String name, PrintStream out);

  /// Checks the arguments, before anything is started and with nothing changed on disk.
  ///
  /// @param arguments what follows the job's name
  /// @param worldSize how many ranks will get them
  /// @throws dev.lockstep.failure.ConfigurationException if they are wrong; the sentence is printed
  ///   and the command ends with code 2
  void check(List<String> arguments, int worldSize);

  /// Checks, after [#check], where the launcher is to keep what ranks print: a job that reads a
  /// folder may not want it there. Called only where the user asks for it, with nothing started
  /// yet.
  ///
  /// @param arguments what follows the job's name
  /// @param folder what `--log-dir` names; it need not be there
  /// @throws dev.lockstep.failure.ConfigurationException if it may not be there, as by [#check]
  default void checkLogs(List<String> arguments, Path folder) {}

  /// Does the work of one rank.
  ///
  /// What it throws fails the job: its message and stack are shown once, wherever it happened.
  ///
  /// @param context the rank's job and surroundings, valid until this returns
  /// @param arguments what follows the job's name
  /// @return the exit code of the rank's process: 0 if the work is done, or was stopped by request
  /// @throws dev.lockstep.failure.ConfigurationException if the user's input is wrong in a way that
  ///   only shows here; the sentence is printed without a stack
  /// @throws Exception if the work fails
  int run(RankContext context, List<String> arguments) throws Exception;
}
