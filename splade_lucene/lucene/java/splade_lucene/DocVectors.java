package splade_lucene;

import io.anserini.index.Constants;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import org.apache.lucene.index.LeafReader;
import org.apache.lucene.index.LeafReaderContext;
import org.apache.lucene.index.PostingsEnum;
import org.apache.lucene.index.Terms;
import org.apache.lucene.index.TermsEnum;
import org.apache.lucene.util.BytesRef;

/** The vectors of documents, as they are put together to cross to Python. */
final class DocVectors {
  private final List<BytesRef> terms = new ArrayList<>();
  private final List<Integer> impacts = new ArrayList<>();
  private final List<Integer> lengths = new ArrayList<>();

  /** There is no such document. */
  void addMissing() {
    lengths.add(-1);
  }

  /** Adds the vector of a document: from the block file, or where there is none, from every posting list. */
  void add(LeafReaderContext leaf, Blocks blocks, int document) throws IOException {
    int before = terms.size();
    if (blocks != null) {
      Blocks.Vectors vectors = blocks.new Vectors();
      int count = vectors.load(document);
      for (int i = 0; i < count; i++) {
        terms.add(BytesRef.deepCopyOf(blocks.term(vectors.term(i), new BytesRef())));
        impacts.add(vectors.impact(i));
      }
    } else {
      addPostings(leaf.reader(), document);
    }
    lengths.add(terms.size() - before);
  }

  private void addPostings(LeafReader segment, int document) throws IOException {
    Terms dictionary = segment.terms(Constants.CONTENTS);
    TermsEnum each = dictionary == null ? TermsEnum.EMPTY : dictionary.iterator();
    PostingsEnum list = null;
    for (BytesRef term = each.next(); term != null; term = each.next()) {
      list = each.postings(list, PostingsEnum.FREQS);
      if (list.advance(document) == document) {
        terms.add(BytesRef.deepCopyOf(term));
        impacts.add(list.freq());
      }
    }
  }

  /** {@code int32[n] lengths, -1 where there is no such document, int32[sum of lengths] impacts, packed terms}. */
  byte[] pack() {
    byte[] names = Packed.pack(terms);
    ByteBuffer packed =
        Packed.littleEndian(new byte[Math.addExact(Integer.BYTES * (lengths.size() + impacts.size()), names.length)]);
    lengths.forEach(packed::putInt);
    impacts.forEach(packed::putInt);
    return packed.put(names).array();
  }
}
