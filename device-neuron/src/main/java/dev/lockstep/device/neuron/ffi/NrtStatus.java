package dev.lockstep.device.neuron.ffi;

import java.util.Arrays;

/// `NRT_STATUS` of `nrt/nrt_status.h` (runtime 2.34), and what whoever meets one must do.
public enum NrtStatus {
  /// Done.
  SUCCESS(0, Recovery.NONE, "done"),
  /// Something failed that has no code of its own.
  FAILURE(1, Recovery.RESTART, "the runtime failed"),
  /// An argument is wrong.
  INVALID(2, Recovery.BAD_INPUT, "an argument is wrong"),
  /// A handle is wrong.
  INVALID_HANDLE(3, Recovery.BAD_INPUT, "a handle is wrong"),
  /// Memory of the device, or another resource, is used up.
  RESOURCE(4, Recovery.OUT_OF_MEMORY, "the device is out of memory"),
  /// An operation took too long.
  TIMEOUT(5, Recovery.COMMUNICATOR, "the program took too long"),
  /// The chip reported a failure.
  HW_ERROR(6, Recovery.REPLACE_CHIP, "the chip failed"),
  /// Too much is in flight.
  QUEUE_FULL(7, Recovery.RETRY, "too much is in flight"),
  /// There are fewer cores than the program needs.
  LOAD_NOT_ENOUGH_NC(9, Recovery.CONFIGURATION, "there are too few cores"),
  /// The NEFF is of another version.
  UNSUPPORTED_NEFF_VERSION(10, Recovery.CONFIGURATION, "the NEFF is of another version"),
  /// Memory of the host is used up.
  FAIL_HOST_MEM_ALLOC(11, Recovery.OUT_OF_MEMORY, "the host is out of memory"),
  /// The runtime was not initialised.
  UNINITIALIZED(13, Recovery.RESTART, "the runtime is not initialised"),
  /// The runtime was closed.
  CLOSED(14, Recovery.RESTART, "the runtime is closed"),
  /// Nothing is in flight.
  QUEUE_EMPTY(15, Recovery.RETRY, "nothing is in flight"),
  /// The core cannot go on.
  EXEC_UNIT_UNRECOVERABLE(101, Recovery.REPLACE_CHIP, "the core cannot go on"),
  /// The program was given tensors that it does not take.
  EXEC_BAD_INPUT(1002, Recovery.BAD_INPUT, "the program does not take these tensors"),
  /// The program made a NaN.
  COMPLETED_WITH_NUM_ERR(1003, Recovery.NUMERICS, "the program made a NaN"),
  /// The program ended with an error.
  COMPLETED_WITH_ERR(1004, Recovery.RESTART, "the program ended with an error"),
  /// The core is taken.
  NC_BUSY(1005, Recovery.CONFIGURATION, "the core is taken by another process"),
  /// The program reached outside its memory.
  OOB(1006, Recovery.BAD_INPUT, "the program reached outside its memory"),
  /// A collective is still going on.
  COLL_PENDING(1100, Recovery.COMMUNICATOR, "a collective is still going on"),
  /// A collective hangs, by the fault of another worker.
  HW_ERR_COLLECTIVES(1200, Recovery.COMMUNICATOR, "a collective hangs, perhaps for another rank"),
  /// The device's memory has an uncorrectable error.
  HW_ERR_HBM_UE(1201, Recovery.REPLACE_CHIP, "the device's memory is damaged"),
  /// The core has an uncorrectable error.
  HW_ERR_NC_UE(1202, Recovery.REPLACE_CHIP, "the core is damaged"),
  /// A transfer was aborted.
  HW_ERR_DMA_ABORT(1203, Recovery.REPLACE_CHIP, "a transfer was aborted by the chip"),
  /// The queue of notifications overflowed.
  SW_NQ_OVERFLOW(1204, Recovery.RESTART, "the runtime's notifications overflowed"),
  /// The device's memory has an error that a reset repairs.
  HW_ERR_REPAIRABLE_HBM_UE(
      1205, Recovery.RESTART, "the device's memory has an error that a reset repairs"),
  /// The network between instances failed.
  NETWORK_PROXY_FAILURE(1206, Recovery.COMMUNICATOR, "the network between instances failed"),
  /// A number that runtime 2.34 does not know.
  UNKNOWN(-1, Recovery.RESTART, "the runtime reports what is not known here");

  private final int code;
  private final Recovery recovery;
  private final String words;

  /// What is to be done about a failure.
  public enum Recovery {
    /// Nothing.
    NONE("nothing to do"),
    /// Call again after a while.
    RETRY("try again when less is in flight"),
    /// Use less memory.
    OUT_OF_MEMORY("use a smaller model or batch"),
    /// Mend the program or its inputs: again it fails again.
    BAD_INPUT("a fault of the program, again it fails again"),
    /// Look at data and learning rate: no crash of the machine. A core of Trn1 goes on reporting it
    /// (AWS Neuron release notes, known issues of the runtime).
    NUMERICS("look at the data and the learning rate; on Trn1 start this process again too"),
    /// Change how the process was started or what was compiled.
    CONFIGURATION("change how the process was started, or compile anew"),
    /// End the communicator and take the step again.
    COMMUNICATOR("start the ranks again from the last checkpoint"),
    /// Start the process anew; the chip is in order.
    RESTART("start this process again"),
    /// Give the chip back; another process on it fails too.
    REPLACE_CHIP("replace this chip or its instance, then resume");

    private final String remedy;

    Recovery(String remedy) {
      this.remedy = remedy;
    }

    /// Returns the advice, for messages.
    public String remedy() {
      return remedy;
    }
  }

  NrtStatus(int code, Recovery recovery, String words) {
    this.code = code;
    this.recovery = recovery;
    this.words = words;
  }

  /// Returns the number that the runtime returns.
  public int code() {
    return code;
  }

  /// Returns what is to be done.
  public Recovery recovery() {
    return recovery;
  }

  /// Returns what happened, for messages.
  public String words() {
    return words;
  }

  /// Returns the status of this number; [#UNKNOWN] if there is none.
  public static NrtStatus of(int code) {
    return Arrays.stream(values())
        .filter(status -> status.code == code)
        .findFirst()
        .orElse(UNKNOWN);
  }
}
