package splade_lucene;

import io.anserini.index.Constants;
import java.io.IOException;
import java.util.Arrays;
import org.apache.lucene.index.BinaryDocValues;
import org.apache.lucene.index.IndexReader;
import org.apache.lucene.index.LeafReaderContext;
import org.apache.lucene.util.BytesRef;
import org.apache.lucene.util.MSBRadixSorter;

/**
 * The doc_id of each document and its rank among them all, read once from doc values: no hit costs a stored field, and
 * a tie is decided by comparing two ints.
 *
 * <p>Memory: the ids' bytes and 8 bytes a document (a segment's ids may take up to 2 GB).
 */
final class DocIds {
  private static final int MOST_BYTES = Integer.MAX_VALUE - 8; // what a Java array may hold

  private final byte[][] bytes; // of each segment, its ids one after another
  private final int[][] ends; // of each segment, where the id of document i ends
  private final int[] docBases;
  private final int[] ranks;

  DocIds(IndexReader reader) throws IOException {
    int segments = reader.leaves().size();
    bytes = new byte[segments][];
    ends = new int[segments][];
    docBases = new int[segments];
    for (LeafReaderContext leaf : reader.leaves()) {
      load(leaf);
    }
    ranks = ranks(reader.maxDoc());
  }

  private void load(LeafReaderContext leaf) throws IOException {
    BinaryDocValues ids = leaf.reader().getBinaryDocValues(Constants.ID);
    int documents = leaf.reader().maxDoc();
    byte[] packed = new byte[(int) Math.min(16L * documents, MOST_BYTES)];
    int[] end = new int[documents];
    int length = 0;
    for (int document = 0; document < documents; document++) {
      if (ids == null || !ids.advanceExact(document)) {
        throw new IllegalArgumentException("document " + (leaf.docBase + document) + " has no doc values in field id");
      }
      BytesRef id = ids.binaryValue();
      if (packed.length - length < id.length) {
        packed = Arrays.copyOf(packed, Math.max(Math.addExact(length, id.length), (int) Math.min(2L * length, MOST_BYTES)));
      }
      System.arraycopy(id.bytes, id.offset, packed, length, id.length);
      length += id.length;
      end[document] = length;
    }
    bytes[leaf.ord] = Arrays.copyOf(packed, length);
    ends[leaf.ord] = end;
    docBases[leaf.ord] = leaf.docBase;
  }

  private int[] ranks(int documents) {
    int[] order = new int[documents];
    Arrays.setAll(order, i -> i);
    BytesRef id = new BytesRef();
    int longest = 0;
    for (int document = 0; document < documents; document++) {
      get(document, id);
      longest = Math.max(longest, id.length);
    }
    new MSBRadixSorter(longest) {
      @Override
      protected int byteAt(int i, int k) {
        get(order[i], id);
        return k < id.length ? id.bytes[id.offset + k] & 0xff : -1;
      }

      @Override
      protected void swap(int i, int j) {
        int swapped = order[i];
        order[i] = order[j];
        order[j] = swapped;
      }
    }.sort(0, documents);
    int[] ranked = new int[documents];
    for (int rank = 0; rank < documents; rank++) {
      ranked[order[rank]] = rank;
    }
    return ranked;
  }

  /** Points at the doc_id of a document. */
  void get(int document, BytesRef id) {
    int found = Arrays.binarySearch(docBases, document);
    int segment = found >= 0 ? found : -found - 2;
    int local = document - docBases[segment];
    id.bytes = bytes[segment];
    id.offset = local == 0 ? 0 : ends[segment][local - 1];
    id.length = ends[segment][local] - id.offset;
  }

  /** The place of each document's doc_id in byte order. */
  int[] ranks() {
    return ranks;
  }
}
