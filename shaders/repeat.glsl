// Loops that the preprocessor unrolls, for drivers that leave loops over array elements as they are (lavapipe of Mesa 22
// does, and then keeps the array in memory). BODY(i) is a macro. A macro cannot expand itself, hence REPEAT_INNER_4 for
// bodies within bodies.
#ifndef VKBERT_REPEAT_GLSL
#define VKBERT_REPEAT_GLSL
#define REPEAT_4(BODY) BODY(0) BODY(1) BODY(2) BODY(3)
#define REPEAT_8(BODY) REPEAT_4(BODY) BODY(4) BODY(5) BODY(6) BODY(7)
#define REPEAT_16(BODY) REPEAT_8(BODY) BODY(8) BODY(9) BODY(10) BODY(11) BODY(12) BODY(13) BODY(14) BODY(15)
#define REPEAT_INNER_4(BODY, i) BODY(i, 0) BODY(i, 1) BODY(i, 2) BODY(i, 3)
#endif
