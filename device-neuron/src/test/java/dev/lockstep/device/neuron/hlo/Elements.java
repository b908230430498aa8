package dev.lockstep.device.neuron.hlo;

import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.NarrowFloat;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/// Numbers as the bytes of an element type, and back.
public final class Elements {
  private Elements() {}

  /// Returns the elements, little-endian.
  public static byte[] encode(DType dtype, double[] numbers) {
    ByteBuffer bytes =
        ByteBuffer.allocate(numbers.length * dtype.bytes()).order(ByteOrder.LITTLE_ENDIAN);
    for (double number : numbers) {
      switch (dtype) {
        case F64 -> bytes.putDouble(number);
        case F32 -> bytes.putFloat((float) number);
        case BF16, F16 -> bytes.putShort((short) NarrowFloat.encode(dtype, (float) number));
        case F8_E4M3FN, F8_E4M3, F8_E5M2 ->
            bytes.put((byte) NarrowFloat.encode(dtype, (float) number));
        case I64 -> bytes.putLong((long) number);
        case I32 -> bytes.putInt((int) number);
        case I16 -> bytes.putShort((short) number);
        case I8, U8, BOOL -> bytes.put((byte) (int) number);
      }
    }
    return bytes.array();
  }

  /// Returns the numbers.
  public static double[] decode(DType dtype, byte[] elements) {
    ByteBuffer bytes = ByteBuffer.wrap(elements).order(ByteOrder.LITTLE_ENDIAN);
    double[] numbers = new double[elements.length / dtype.bytes()];
    for (int i = 0; i < numbers.length; i++) {
      numbers[i] =
          switch (dtype) {
            case F64 -> bytes.getDouble();
            case F32 -> bytes.getFloat();
            case BF16, F16 -> NarrowFloat.decode(dtype, bytes.getShort());
            case F8_E4M3FN, F8_E4M3, F8_E5M2 -> NarrowFloat.decode(dtype, bytes.get());
            case I64 -> bytes.getLong();
            case I32 -> bytes.getInt();
            case I16 -> bytes.getShort();
            case I8 -> bytes.get();
            case U8, BOOL -> bytes.get() & 0xFF;
          };
    }
    return numbers;
  }
}
