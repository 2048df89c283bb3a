"""What only one runtime can do, or only its decorator and its package."""
