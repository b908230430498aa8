package dev.lockstep.collective.agreement;

import dev.lockstep.collective.execute.ProgramCompiler;
import dev.lockstep.collective.schedule.Schedule;
import dev.lockstep.collective.schedule.Space;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/// What a rank tells the others when it prepares a collective.
///
/// @param words the schedule, for messages
/// @param fingerprint hash of request and schedule
/// @param callSite where it was prepared
/// @param memory descriptors of what peers may touch in place, by space
public record Offer(String words, long fingerprint, String callSite, Map<Space, byte[]> memory) {
  /// Makes what a rank tells of a schedule.
  public Offer(Schedule schedule, int communicator, String callSite, Map<Space, byte[]> memory) {
    this(schedule.words(), ProgramCompiler.fingerprint(schedule, communicator), callSite, memory);
  }

  /// Returns the bytes of offers, for [#decode].
  public static byte[] encode(List<Offer> offers) {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    try (DataOutputStream out = new DataOutputStream(bytes)) {
      out.writeInt(offers.size());
      for (Offer offer : offers) {
        offer.write(out);
      }
    } catch (IOException impossible) {
      throw new UncheckedIOException(impossible);
    }
    return bytes.toByteArray();
  }

  private void write(DataOutputStream out) throws IOException {
    out.writeUTF(words);
    out.writeLong(fingerprint);
    out.writeUTF(callSite);
    out.writeInt(memory.size());
    for (Map.Entry<Space, byte[]> entry : memory.entrySet()) {
      writeSpace(out, entry.getKey());
      out.writeInt(entry.getValue().length);
      out.write(entry.getValue());
    }
  }

  /// Returns the offers of [#encode].
  public static List<Offer> decode(byte[] encoded) {
    try (DataInputStream in = new DataInputStream(new ByteArrayInputStream(encoded))) {
      List<Offer> offers = new ArrayList<>();
      int number = in.readInt();
      for (int i = 0; i < number; i++) {
        offers.add(read(in));
      }
      return offers;
    } catch (IOException garbage) {
      throw new UncheckedIOException("offer of a peer cannot be read", garbage);
    }
  }

  private static Offer read(DataInputStream in) throws IOException {
    String words = in.readUTF();
    long fingerprint = in.readLong();
    String callSite = in.readUTF();
    Map<Space, byte[]> memory = new LinkedHashMap<>();
    int size = in.readInt();
    for (int i = 0; i < size; i++) {
      Space space = readSpace(in);
      memory.put(space, in.readNBytes(in.readInt()));
    }
    return new Offer(words, fingerprint, callSite, memory);
  }

  private static void writeSpace(DataOutputStream out, Space space) throws IOException {
    switch (space) {
      case Space.Output _ -> {
        out.writeByte(0);
        out.writeInt(0);
      }
      case Space.Input(int index) -> {
        out.writeByte(1);
        out.writeInt(index);
      }
      case Space.Scratch(int index) -> {
        out.writeByte(2);
        out.writeInt(index);
      }
    }
  }

  private static Space readSpace(DataInputStream in) throws IOException {
    int kind = in.readByte();
    int index = in.readInt();
    return switch (kind) {
      case 0 -> new Space.Output();
      case 1 -> new Space.Input(index);
      case 2 -> new Space.Scratch(index);
      default -> throw new IOException("unknown space: kind=" + kind);
    };
  }

  /// Returns what the rank prepares and where, for messages.
  public String description() {
    return callSite.isEmpty() ? words : words + ", called at " + callSite;
  }
}
