"""NCCOs on calls: what ``engine.dialects.ncco`` wants done."""
