package splade_lucene;

import io.anserini.index.Constants;
import java.io.IOException;
import java.util.Arrays;
import java.util.List;
import org.apache.lucene.index.BinaryDocValues;
import org.apache.lucene.index.IndexReader;
import org.apache.lucene.index.LeafReaderContext;
import org.apache.lucene.index.ReaderUtil;
import org.apache.lucene.store.ByteBuffersDataOutput;
import org.apache.lucene.util.ArrayUtil;
import org.apache.lucene.util.BytesRef;

/**
 * The doc_ids of hits, read from Lucene's doc values: a compact table in the page cache, so that no hit costs a stored
 * field and no document takes heap.
 *
 * <p>Doc values are read in the order of the documents and not of the hits, as Lucene wants it. Heap: the answer, and
 * 16 bytes and an id for each of a few thousand hits.
 */
final class DocIds {
  private static final int AT_A_TIME = 1 << 12; // hits
  private static final byte END = (byte) 0xFF; // a byte that UTF-8 never uses

  private final List<LeafReaderContext> leaves;
  private final long[] order; // documents in ascending order, each with its place among the hits
  private final int[] starts; // of each hit, where its id stands in these:
  private byte[] ids = new byte[1 << 8];

  private DocIds(IndexReader reader, int most) {
    leaves = reader.leaves();
    order = new long[most];
    starts = new int[most];
  }

  /** The doc_ids of these documents as UTF-8, each ended by the byte 0xFF. */
  static ByteBuffersDataOutput pack(IndexReader reader, int[] documents) throws IOException {
    ByteBuffersDataOutput packed = new ByteBuffersDataOutput();
    DocIds some = new DocIds(reader, Math.min(documents.length, AT_A_TIME));
    for (int from = 0; from < documents.length; from += AT_A_TIME) {
      some.pack(documents, from, Math.min(documents.length - from, AT_A_TIME), packed);
    }
    return packed;
  }

  private void pack(int[] documents, int from, int count, ByteBuffersDataOutput packed) throws IOException {
    for (int i = 0; i < count; i++) {
      order[i] = (long) documents[from + i] << Integer.SIZE | i;
    }
    Arrays.sort(order, 0, count);
    int[] lengths = load(count);
    for (int i = 0; i < count; i++) {
      packed.writeBytes(ids, starts[i], lengths[i]);
    }
  }

  /** Reads the ids of the documents in order; returns how long they are with their ends. */
  private int[] load(int count) throws IOException {
    int[] lengths = new int[count];
    int length = 0;
    int end = 0; // of the documents in the segment that is being read
    int base = 0;
    BinaryDocValues values = null;
    for (int i = 0; i < count; i++) {
      int document = (int) (order[i] >>> Integer.SIZE);
      int hit = (int) order[i];
      if (document >= end) {
        LeafReaderContext leaf = leaves.get(ReaderUtil.subIndex(document, leaves));
        values = leaf.reader().getBinaryDocValues(Constants.ID);
        base = leaf.docBase;
        end = base + leaf.reader().maxDoc();
      }
      if (values == null || !values.advanceExact(document - base)) {
        throw new IllegalArgumentException("document " + document + " has no doc values in field id");
      }
      BytesRef id = values.binaryValue();
      ids = ArrayUtil.grow(ids, Math.addExact(length, id.length + 1));
      System.arraycopy(id.bytes, id.offset, ids, length, id.length);
      starts[hit] = length;
      lengths[hit] = id.length + 1;
      length += id.length;
      ids[length++] = END;
    }
    return lengths;
  }
}
